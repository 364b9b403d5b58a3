"""Libraries that give ids as arrays or bytes."""

import numpy as np
import numpy.typing as npt
from peer import Assets, Ids, Peer, Way, cores, lists, reading


class Gigatoken(Peer):
    """Ids as NumPy or Awkward arrays."""

    distribution = module = "gigatoken"

    def __init__(self, assets: Assets) -> None:
        import gigatoken

        # Its reader of rank files panics on Meta's, so the JSON it is.
        self.backend = gigatoken.Tokenizer(assets.tokenizer_json).backend

    def ways(self, case: str) -> list[Way]:
        """The Rust object itself: the Python class around it only costs time."""
        backend = self.backend

        def sequential(texts: list[str]) -> object:
            return backend.encode_batch(texts, parallel=False)

        def batch(texts: list[str]) -> object:
            return backend.encode_batch(texts, parallel=True)

        def batch_list(texts: list[str]) -> list[list[int]]:
            return backend.encode_batch_list(texts, parallel=False)

        def files(paths: list[str]) -> object:
            return backend.encode_files(paths, parallel=True)

        encode = Way("encode", backend.encode)
        match case:
            case "documents":
                return [encode, Way("encode_batch", sequential, many=True)]
            case "whole" | "worst" | "small":
                return [encode]
            case "list":
                return [Way("encode_batch_list", batch_list, many=True)]
            case "count":
                return [Way("len(encode)", lambda text: len(backend.encode(text)))]
            case "batch":
                return [Way("encode_batch", batch, many=True)]
            case "files":
                return [Way("encode_files", files, many=True)]
            case "decode bytes":
                return [Way("decode", backend.decode)]
            case "decode text":
                return [Way("decode, then UTF-8", lambda ids: backend.decode(ids).decode())]
            case "decode one":
                text = Way("decode, then UTF-8", lambda ids: backend.decode(ids).decode())
                return [text._replace(wants="list")]
        return []


class Fastokens(Peer):
    """Ids as bytes, or in an object that stays in Rust until they are asked for."""

    distribution = module = "fastokens"

    def __init__(self, assets: Assets) -> None:
        import fastokens

        # Its reader of rank files refuses Meta's, so the JSON it is.
        self.tokenizer = fastokens.Tokenizer.from_file(assets.tokenizer_json)

    def ways(self, case: str) -> list[Way]:
        """Special tokens stay text, which is the faster call as well (`encode_ordinary`)."""
        tokenizer = self.tokenizer
        encode = tokenizer.encode_ordinary

        def flat(texts: list[str]) -> tuple[Ids, npt.NDArray[np.uint64]]:
            ids, offsets = tokenizer.encode_batch_flat(texts, split_special_tokens=True)
            return np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64)

        def one(text: str) -> Ids:
            return flat([text])[0]

        def ids(text: str) -> list[int]:
            return encode(text).ids

        match case:
            case "documents":
                return [Way("encode_batch_flat", flat, many=True)]
            case "whole" | "worst":
                return [Way("encode_batch_flat", one)]
            case "small":
                return [
                    Way("encode_ordinary().ids", ids),
                    Way("encode_batch_flat", one),
                    Way("encode_ordinary, ids unread", encode, delivers=False),
                ]
            case "count":
                return [Way("len(encode_ordinary)", lambda text: len(encode(text)))]
            case "batch":
                return [Way("encode_batch_flat", flat, many=True)]
            case "files":
                return [Way("encode_batch_flat of texts", reading(flat), many=True)]
            case "decode text" | "decode one":
                return [Way("decode", tokenizer.decode, wants="list")]
        return lists("encode_ordinary().ids", ids, case)


class Quicktok(Peer):
    """It brings Meta's vocabulary in its own format."""

    distribution, module = "quicktok-v1", "quicktok"

    def __init__(self, assets: Assets) -> None:
        import quicktok

        self.tokenizer = quicktok.get_encoding("llama3")

    def ways(self, case: str) -> list[Way]:
        """`encode_batch` is the call that gives an array, even for one text."""
        tokenizer = self.tokenizer

        def sequential(texts: list[str]) -> object:
            return tokenizer.encode_batch(texts, 1)

        def batch(texts: list[str]) -> object:
            return tokenizer.encode_batch(texts, cores())

        def one(text: str) -> Ids:
            return tokenizer.encode_batch([text], 1)[0]

        match case:
            case "documents":
                return [Way("encode_batch", sequential, many=True)]
            case "whole" | "worst":
                return [Way("encode_batch", one)]
            case "count":
                return [Way("count", tokenizer.count)]
            case "batch":
                return [Way("encode_batch", batch, many=True)]
            case "files":
                return [Way("encode_batch of texts", reading(batch), many=True)]
            case "decode bytes":
                return [Way("decode_bytes", tokenizer.decode_bytes, wants="list")]
            case "decode text" | "decode one":
                return [Way("decode", tokenizer.decode, wants="list")]
        return lists("encode_ordinary", tokenizer.encode_ordinary, case)
