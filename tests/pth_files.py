"""`.pth` files as torch.save writes them, written without torch, and read."""

import io
import pickle
import struct
import zipfile

from llama3_tok.torch.checkpoint.torch_file import TorchFile


def _number(value):
    return pickle.dumps(value, 2)[2:-1]


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def tensor(key, elements, offset, shape, strides):
    """What torch.save pickles of a tensor, written without torch."""
    tuples = [b"(" + b"".join(map(_number, one)) + b"t" for one in (shape, strides)]
    kind = b"ctorch\nFloatStorage\n"
    storage = b"(" + _text("storage") + kind + _text(key) + _text("cpu") + _number(elements) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    rest = _number(offset) + tuples[0] + tuples[1] + b"\x89" + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def pth(tensors, storages):
    """A file of tensors as `tensor` writes them, and of the bytes of storages by their keys."""
    table = b"}(" + b"".join(_text(name) + tensor for name, tensor in tensors.items()) + b"u"
    return archive(b"\x80\x02" + table + b".", storages)


def archive(pickled, storages):
    """A file with any table."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as file:
        file.writestr("model/data.pkl", pickled)
        file.writestr("model/byteorder", b"little")
        for key, data in storages.items():
            file.writestr(f"model/data/{key}", data)
    return written.getvalue()


STORAGES = {"0": bytes(range(48)), "1": bytes(16)}
SOUND = pth(
    {"a.weight": tensor("0", 12, 0, (3, 4), (4, 1)), "b.weight": tensor("1", 4, 1, (3,), (1,))},
    STORAGES,
)


def read(path, data):
    """Writes such a file and reads everything of it."""
    path.write_bytes(data)
    file = TorchFile(str(path))
    for name in file.tensors:
        file.array(name).sum()
        file.check(name)
    return file
