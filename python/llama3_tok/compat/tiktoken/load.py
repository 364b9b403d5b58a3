"""Reading rank files as a table of tokens, as `tiktoken.load` does."""

from llama3_tok import vocabulary
from llama3_tok.errors import VocabularyError
from llama3_tok.tokenizer import Tokenizer


def load_tiktoken_bpe(tiktoken_bpe_file: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """The tokens of a rank file with their ranks, in their order.

    The file is read as strictly as any vocabulary. Raises VocabularyError (a ValueError) for one
    that is damaged or, with `expected_hash`, has another SHA-256; VocabularyNotFound or OSError.
    Addresses on the network are not read.
    """
    path = vocabulary.find(tiktoken_bpe_file)
    with open(path, "rb") as file:
        data = file.read()
    tokenizer = Tokenizer.from_bytes(data, all_special_tokens={}, name=path)
    sha256 = tokenizer.vocabulary_sha256
    if expected_hash not in (None, sha256):
        reason = f"its SHA-256 is {sha256}, but {expected_hash} was expected"
        raise VocabularyError(f"{path}: {reason}", file=path, reason=reason)
    return {token: rank for rank, token in enumerate(tokenizer.tokens())}
