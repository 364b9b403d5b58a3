"""Arguments, checked and as the core takes them; what they may not be is a clear error."""

import codecs
import os
import sys
from collections.abc import Iterable, Mapping, Set
from operator import index as integer
from typing import Any, Literal, SupportsIndex, TypeAlias, TypedDict, TypeVar, cast, overload

from llama3_tok import _core
from llama3_tok._core import Options as Options
from llama3_tok.errors import SpecialTokenError
from llama3_tok.lazy import np, npt

Text: TypeAlias = str | bytes
# What is given for a text is what the text is; of either, either.
AnyText = TypeVar("AnyText", str, bytes, str | bytes)
FilePath: TypeAlias = str | os.PathLike[str]
SpecialTokens: TypeAlias = Literal["all"] | Iterable[str]
# list[int], an array of any integer dtype, a tensor, or anything with the buffer protocol: there is
# no type for "may hold integers", so the annotation says no more than that it can be iterated.
Ids: TypeAlias = Iterable[SupportsIndex]
Side: TypeAlias = Literal["left", "right"]
Tensors: TypeAlias = Literal["np", "pt"]

# How many characters of a text a message repeats.
_QUOTED = 200

# The types of arrays that the core reads as they are.
_READ = tuple(("<" if sys.byteorder == "little" else ">") + type for type in ("u4", "i4", "i8"))


has_numpy = False
"""Whether NumPy is loaded, as far as `load_numpy` knows."""


def load_numpy() -> None:
    """Loads NumPy in Python, before the core needs it for an array.

    The core would load it as well. But where the interpreter ends, it ends daemon threads as they
    run Python's code, and with the core's frames beneath that code this would end the process with
    an abort. From Python alone such a thread ends in silence.
    """
    global has_numpy
    if not has_numpy:
        import numpy  # noqa: F401

        has_numpy = True


class TextOptions(TypedDict, total=False):
    """Options of every call that makes or counts ids: `Tokenizer.encode` says what they mean."""

    bos: bool
    eos: bool
    allowed_special: SpecialTokens
    disallowed_special: SpecialTokens


class BatchOptions(TextOptions, total=False):
    """The options of calls that do so for several texts, or for files.

    `threads` is how many threads may work; by default one for each processor.
    """

    threads: int | None


class FileOptions(BatchOptions, total=False):
    """The options of calls that read files.

    `max_bytes` and `max_ratio` are for packed files: how many bytes one may be when it is unpacked,
    and how many times as many as are stored; the ratio counts from 64 MB on. By default 1,000
    times, and any number of bytes; None allows any ratio.
    """

    max_bytes: int | None
    max_ratio: int | None


# What `Tokenizer.count_file` and the others have besides the options of a text.
FILE_OPTIONS = ("threads", "field", "max_bytes", "max_ratio")
MAX_RATIO = 1000


def packed_limits(given: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The options `max_bytes` and `max_ratio`, as the core takes them."""
    limits = {"max_bytes": given.get("max_bytes"), "max_ratio": given.get("max_ratio", MAX_RATIO)}
    most, ratio = (
        None if value is None else count(value, name, 1, (1 << 63) - 1)
        for name, value in limits.items()
    )
    return most, ratio


class DecodeOptions(TypedDict, total=False):
    """The options of calls that make text of ids; `Tokenizer.decode` says what they mean."""

    errors: str
    skip_special: bool


# BOS and EOS alone, which most calls that ask for something ask for.
_ENDS = {(bos, eos): _core.Options(bos, eos) for bos in (False, True) for eos in (False, True)}


def chosen(given: Mapping[str, Any], call: str, *others: str) -> _core.Options | None:
    """The options of a text as the core takes them; None where nothing is asked for.

    `others` are the options that `call` has besides and that are looked at elsewhere.
    """
    if not given:
        return None
    bos = eos = False
    allowed = disallowed = None
    for name, value in given.items():
        if name == "bos":
            flag(value, name)
            bos = value
        elif name == "eos":
            flag(value, name)
            eos = value
        elif name == "allowed_special":
            allowed = _names(value, name)
        elif name == "disallowed_special":
            disallowed = _names(value, name)
        elif name not in others:
            raise unknown(call, name, (*TextOptions.__annotations__, *others))
    if allowed is disallowed is None:
        return _ENDS[bos, eos] if bos or eos else None
    return _core.Options(bos, eos, allowed, disallowed)


def decoding(given: Mapping[str, Any], call: str, *others: str) -> tuple[str, bool]:
    """The options of decoding: `errors` and `skip_special`."""
    for name in given:
        if name not in DecodeOptions.__annotations__ and name not in others:
            raise unknown(call, name, (*DecodeOptions.__annotations__, *others))
    skip_special = given.get("skip_special", False)
    flag(skip_special, "skip_special")
    errors = given.get("errors", "replace")
    # Python asks for it only where bytes are not UTF-8, so a wrong one could go unseen.
    if type(errors) is not str or errors != "replace":
        _check_handler(errors)
    return errors, skip_special


def _check_handler(errors: object) -> None:
    if not isinstance(errors, str):
        raise TypeError(f"errors must be a str, not {type(errors).__name__}")
    try:
        codecs.lookup_error(errors)
    except (LookupError, ValueError):  # ValueError: with NUL or half a surrogate
        raise ValueError(
            f"errors must be a handler that bytes.decode has, as 'replace', 'strict' or 'ignore', "
            f"not {errors!r}"
        ) from None


def unknown(call: str, name: str, known: Iterable[str]) -> TypeError:
    """The error for an option that a call does not have."""
    from llama3_tok.elsewhere import option

    known = list(known)
    hint = option(call, name, known) or f"its options are {', '.join(known)}"
    return TypeError(f"{call}() has no option {name[:100]!r}; {hint}")


def _names(value: SpecialTokens, argument: str) -> Literal["all"] | list[str] | None:
    if isinstance(value, str) and value == "all":
        return "all"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        given = repr(value[:100]) if isinstance(value, str | bytes) else type(value).__name__
        raise TypeError(f'{argument} must be "all" or a set of names, not {given}')
    names = list(value)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must hold names (str), not {type(name).__name__}")
        if any("\ud800" <= c <= "\udfff" for c in name):  # which the core does not take
            raise SpecialTokenError(f"{name!r} is not a special token", token=name)
    return names or None


def utf8(text: Text, argument: str) -> bytes:
    """The bytes that are encoded: lone surrogates are U+FFFD, and pairs of them one character."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be str or bytes, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def texts(texts: Iterable[Text]) -> list[Text]:
    if isinstance(texts, list):
        return texts
    refuse_text(texts, "texts")
    return list(texts)


def is_one(value: object) -> bool:
    """Whether it is one value: a text would be taken for its characters, and a set has no order."""
    one = isinstance(value, str | bytes | bytearray | Mapping | Set)
    return one or not isinstance(value, Iterable)


def refuse_text(value: object, argument: str) -> None:
    if is_one(value):
        raise TypeError(f"{argument} must be a sequence, not one {type(value).__name__}")


def path(path: FilePath, argument: str = "path") -> str:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{argument} must be a path (str or PathLike), not {type(path).__name__}")
    return os.fsdecode(path)


def paths(paths: Iterable[FilePath]) -> list[str]:
    if isinstance(paths, os.PathLike):
        raise TypeError(f"paths must be a sequence, not one {type(paths).__name__}")
    refuse_text(paths, "paths")
    return [path(one, f"paths[{index}]") for index, one in enumerate(paths)]


@overload
def field(field: str) -> str: ...
@overload
def field(field: str | None) -> str | None: ...
def field(field: str | None) -> str | None:
    if not isinstance(field, str | None):
        raise TypeError(f"field must be a str or None, not {type(field).__name__}")
    return field


def threads(threads: int | None) -> int:
    if threads is None:
        return _core.cpu_count()
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads must be an int or None, not {type(threads).__name__}")
    count = integer(threads)
    if count < 1:
        raise ValueError(f"threads must be at least 1, not {count}")
    return min(count, _core.cpu_count())


def count(value: int, argument: str, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument} must be an int, not {kind_of(value)}")
    number = integer(value)
    if number < least:
        raise ValueError(f"{argument} must be at least {least}, not {number}")
    if most is not None and number > most:
        raise ValueError(f"{argument} must be at most {most}, not {number}")
    return number


def kind_of(value: object) -> str:
    """The name of a type, with its module if another one may have a type of that name."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def profile(profile: object) -> None:
    if not isinstance(profile, str | None):
        raise TypeError(f"profile must be a str or None, not {type(profile).__name__}")


def quoted(value: object) -> str:
    """What a caller gave as `repr` shows it, for a message; of what is long, the beginning."""
    return shortened(repr(value[: _QUOTED + 1] if isinstance(value, str) else value))


def shortened(text: str) -> str:
    """A text for a message; of a long one, the beginning."""
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def flag(value: object, argument: str) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be a bool, not {kind_of(value)}")


def choice(value: object, argument: str, choices: tuple[object, ...]) -> None:
    if not any(value is each or (type(value) is str and value == each) for each in choices):
        names = ", ".join(map(repr, choices))
        raise ValueError(f"{argument} must be one of {names}, not {value!r}")


def ids(ids: object, argument: str) -> "list[int] | npt.NDArray[np.uint32 | np.int32 | np.int64]":
    """Ids as a list or as an array that the core reads without a copy."""
    if type(ids) is list:
        return ids
    if isinstance(ids, tuple | range):
        return list(ids)
    if isinstance(ids, str | bytes | bytearray):
        raise TypeError(f"{argument} must be integers, not {type(ids).__name__}")
    if hasattr(ids, "detach") and hasattr(ids, "cpu"):
        ids = ids.detach().cpu()  # a torch tensor, which may be on another device
    if not hasattr(ids, "__array__"):
        try:
            ids = memoryview(cast(bytes, ids))
        except TypeError:
            if isinstance(ids, Mapping | Set) or not isinstance(ids, Iterable):
                kind = type(ids).__name__
                raise TypeError(f"{argument} must be a sequence, not {kind}") from None
            return list(ids)
    return _array(ids, argument)


def _array(
    ids: object, argument: str
) -> "list[int] | npt.NDArray[np.uint32 | np.int32 | np.int64]":
    import numpy as np

    # The common case first: the questions below take longer than decoding a short sequence.
    if type(ids) is np.ndarray and ids.ndim == 1 and ids.dtype.str in _READ:
        flags = ids.flags
        if flags.c_contiguous and flags.aligned:
            return ids
    if isinstance(ids, np.ma.MaskedArray) and np.ma.getmaskarray(ids).any():
        raise TypeError(f"{argument} must be integers, but some are masked")
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(
            f"{argument} must have one dimension, not {array.ndim}; "
            "several sequences go to decode_batch or pad"
        )
    if array.dtype == object or array.size == 0:
        return cast(list[int], list(array))
    if array.dtype.kind not in "iu":
        nan = np.flatnonzero(array != array)
        what = f"; {argument}[{nan[0]}] is not a number" if nan.size else ""
        raise TypeError(f"{argument} must be integers, not {array.dtype}{what}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        return cast(list[int], array.tolist())
    dtype = array.dtype if array.dtype in (np.uint32, np.int32) else np.int64
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
