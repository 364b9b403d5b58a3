"""What can go wrong, as exceptions: the core's errors, with the data that says where."""

__all__ = [
    "ChatFormatError",
    "CheckpointError",
    "InputError",
    "InternalError",
    "InvalidTokenId",
    "Llama3TokError",
    "MissingExtra",
    "SpecialTokenError",
    "UnknownToken",
    "VocabularyError",
    "VocabularyNotFound",
]


# The most characters of a message, and of the reason in it. It may repeat what it is about, as a
# name that was given, and that may have any length.
MAX_CHARACTERS = 1000
_LEFT_OUT = " [...] "


def shortened(text: str) -> str:
    """A text of at most `MAX_CHARACTERS`: its beginning and its end, which says what to do."""
    if len(text) <= MAX_CHARACTERS:
        return text
    end = MAX_CHARACTERS // 3
    return text[: MAX_CHARACTERS - end - len(_LEFT_OUT)] + _LEFT_OUT + text[-end:]


class Llama3TokError(ValueError):
    """The base of all errors of this package. No message has more than 1,000 characters."""

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))


class VocabularyNotFound(Llama3TokError):
    """No vocabulary where one was looked for; the message names every way to give one."""


class VocabularyError(Llama3TokError):
    """A file that is no Llama 3 vocabulary.

    `file` is its name, `line` the line of the fault (from 1; None if it is not in one line), and
    `reason` what is wrong.
    """

    def __init__(
        self, message: str, file: str = "", line: int | None = None, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.file, self.line, self.reason = file, line, shortened(reason)


class SpecialTokenError(Llama3TokError):
    """A disallowed special token in a text, or a name that is not a special token.

    `token` is the name; `offset` is where it stands in the text, in bytes of UTF-8, or None for an
    unknown name; `index` is the text's in a batch, else None; `path` is the file that the text is
    in, and `line` the line of its record (from 1), else None.
    """

    def __init__(
        self,
        message: str,
        token: str = "",
        offset: int | None = None,
        index: int | None = None,
        path: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message)
        self.token, self.offset, self.index = token, offset, index
        self.path, self.line = path, line


class InvalidTokenId(Llama3TokError):
    """An id that no token has: `id`, and its `position` among the ids, from 0.

    `index` is the sequence's in a batch, else None.
    """

    def __init__(
        self, message: str, id: int = 0, position: int = 0, index: int | None = None
    ) -> None:
        super().__init__(message)
        self.id, self.position, self.index = id, position, index


class UnknownToken(Llama3TokError):
    """Bytes that are not exactly one token: `token` has the first hundred of them."""

    def __init__(self, message: str, token: bytes = b"") -> None:
        super().__init__(message)
        self.token = token


class ChatFormatError(Llama3TokError):
    """A conversation that its chat format can't hold.

    `index` is the message's, from 0, or the tool's where `field` is "tools" or "builtin_tools";
    None if it is about the whole. `field` is what is wrong, as "role", "content" or
    "tool_calls[0].function.name"; it is empty if the message as such is. `row` is the
    conversation's among several, from 0, else None. The message of the error is `reason` after the
    place that these name, as in `row 5: messages[1].role: is missing`.
    """

    def __init__(
        self, reason: str, index: int | None = None, field: str = "", row: int | None = None
    ) -> None:
        if index is None:
            place = field
        elif field in ("tools", "builtin_tools"):
            place = f"{field}[{index}]"
        else:
            place = f"messages[{index}]" + (f".{field}" if field else "")
        without_row = f"{place}: {reason}" if place else reason
        super().__init__(without_row if row is None else f"row {row}: {without_row}")
        self.index, self.field, self.row = index, field, row
        self.reason, self.without_row = shortened(reason), shortened(without_row)

    def in_row(self, row: int) -> "ChatFormatError":
        """The same error of a conversation among several."""
        return ChatFormatError(self.reason, self.index, self.field, row)


class CheckpointError(Llama3TokError):
    """A checkpoint that can't be converted, or a conversion that can't be done.

    `file` is the file or folder that it is about, `tensor` the name of the tensor; either is empty
    if it is not about one.
    """

    def __init__(self, message: str, file: str = "", tensor: str = "") -> None:
        super().__init__(message)
        self.file, self.tensor = file, tensor


class InputError(Llama3TokError):
    """A file that is not what it was taken for, as a damaged archive or a line that is not JSON.

    `path` is the file, `line` the line of the fault (from 1; None if it is not in one line), and
    `reason` what is wrong.
    """

    def __init__(
        self, message: str, path: str = "", line: int | None = None, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.path, self.line, self.reason = path, line, shortened(reason)


class InternalError(Llama3TokError, RuntimeError):
    """A fault of this library: something that always holds does not, and the call gives nothing.

    No input should lead here. A report with the text that does is welcome.
    """


class MissingExtra(Llama3TokError, ImportError):
    """A package that this part needs is not installed.

    `package` is the one that was looked for, `extra` what installs it: the message has the command.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package}: pip install 'llama3_tok[{extra}]' installs it"
        )
        self.package, self.extra, self.name = package, extra, package

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str]]:
        """Made again of what it is made of: the message alone does not say both."""
        return type(self), (self.package, self.extra)
