"""A `.pth` file: CheckpointError with its path, or arrays that are within the file."""

from pathlib import Path

from fuzz_checks.small import place
from llama3_tok import CheckpointError
from llama3_tok.torch.checkpoint.torch_file import TorchFile
from pth_files import SOUND, STORAGES, archive, tensor


def check(data: bytes) -> None:
    """The input is a file; after `+` it is the pickled table of a sound archive."""
    if data[:1] == b"+":
        data = archive(data[1:], STORAGES)
    path = place() / "a.pth"
    path.write_bytes(data)
    try:
        _read(path)
    except CheckpointError as error:
        assert error.file == str(path)
        assert str(error).startswith(str(path))
        assert len(str(error)) <= 1000


def _read(path: Path) -> None:
    file = TorchFile(str(path))
    size = path.stat().st_size
    for name, info in file.tensors.items():
        array = file.array(name)
        assert array.shape == info.shape
        assert array.nbytes <= size
        array.sum()
        file.check(name)
        assert file.shares(name, name)
    assert file.has_checksums in (True, False)
    file.identity()
    file.remap()


def seeds() -> dict[str, bytes]:
    """A sound file, and tables of all that they may have."""
    hooks = b"ccollections\nOrderedDict\n)R"
    named = b"X\x01\0\0\0a"
    one = tensor("0", 12, 0, (3, 4), (4, 1))
    return {
        "sound": SOUND,
        "table": b"+\x80\x02}(" + named + one + b"u.",
        "ordered": b"+\x80\x02" + hooks + b"(" + named + one + b"u}X\x09\0\0\0_metadata}sb.",
        "parameter": b"+\x80\x02}" + named + b"ctorch._utils\n_rebuild_parameter\n(" + one
        + b"\x88" + hooks + b"tRs.",
        "memo": b"+\x80\x02}q\0" + named + one + b"sh\0.",
        "empty": b"+\x80\x02}.",
    }  # fmt: skip
