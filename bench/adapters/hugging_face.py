"""Hugging Face's tokenizers, 0.23 and 1.0, and others with an interface like theirs."""

from typing import Any

from peer import Assets, Ids, Peer, Way, lists, reading


class Tokenizers(Peer):
    """Hugging Face."""

    distribution = module = "tokenizers"

    def __init__(self, assets: Assets) -> None:
        import tokenizers

        self.tokenizer = tokenizers.Tokenizer.from_file(assets.tokenizer_json)
        self.tokenizer.encode_special_tokens = True

    def ways(self, case: str) -> list[Way]:
        """`encode_batch_fast`, which leaves the offsets out, even for one text."""
        tokenizer = self.tokenizer

        def batch(texts: list[str]) -> list[list[int]]:
            encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in encodings]

        def one(text: str) -> list[int]:
            return batch([text])[0]

        def small(text: str) -> list[int]:
            return tokenizer.encode(text, add_special_tokens=False).ids

        def decode(ids: list[int]) -> str:
            return tokenizer.decode(ids, skip_special_tokens=False)

        match case:
            case "documents" | "batch" | "list":
                return [Way("encode_batch_fast", batch, many=True)]
            case "files":
                return [Way("encode_batch_fast of texts", reading(batch), many=True)]
            case "small":
                return [Way("encode", small), Way("encode_batch_fast", one)]
            case "decode text" | "decode one":
                return [Way("decode", decode, wants="list")]
        return lists("encode_batch_fast", one, case)


class Tokenizers1(Peer):
    """Hugging Face's next release: ids as arrays, no offsets. It lives in a folder of its own."""

    distribution = module = "tokenizers"

    def __init__(self, assets: Assets) -> None:
        import tokenizers

        if tokenizers.__version__.startswith("0."):  # Never the other one under this name.
            raise ImportError(f"tokenizers {tokenizers.__version__} was imported, not 1.0")
        self.tokenizer = tokenizers.Tokenizer.from_file(assets.tokenizer_json)

    def ways(self, case: str) -> list[Way]:
        """`encode(...).ids_array`; lists where lists are asked for, and for small inputs."""
        encode, encode_batch = self.tokenizer.encode, self.tokenizer.encode_batch
        decoder = self.tokenizer.decode
        plain: dict[str, Any] = {"add_special_tokens": False, "encode_special_tokens": True}

        def array(text: str) -> Ids:
            return encode(text, **plain).ids_array

        def ids(text: str) -> list[int]:
            return encode(text, **plain).ids

        def batch(texts: list[str]) -> list[Ids]:
            return [encoding.ids_array for encoding in encode_batch(texts, **plain)]

        def decode(ids: Ids | list[int]) -> str:
            return decoder(ids, skip_special_tokens=False)

        one = Way("encode().ids_array", array)
        match case:
            case "documents":
                return [one, Way("encode_batch, ids_array", batch, many=True)]
            case "whole" | "worst":
                return [one]
            case "small":
                return [one, Way("encode().ids", ids)]
            case "list":
                return [Way("encode().ids", ids)]
            case "count":
                return [Way("len(encode)", lambda text: len(encode(text, **plain)))]
            case "batch":
                return [Way("encode_batch, ids_array", batch, many=True)]
            case "files":
                return [Way("encode_batch of texts", reading(batch), many=True)]
            case "decode text":
                return [Way("decode", decode)]
            case "decode one":
                return [Way("decode", decode, wants="list")]
        return []


class Basetenkenizer(Peer):
    """The same interface, with ids that can be moved into an array."""

    distribution = module = "basetenkenizer"

    def __init__(self, assets: Assets) -> None:
        import basetenkenizer

        self.tokenizer = basetenkenizer.Tokenizer.from_file(assets.tokenizer_json)

    def ways(self, case: str) -> list[Way]:
        """`into_numpy` moves the ids; `encode_segments` does the same work and is slower."""
        encode, encode_batch = self.tokenizer.encode, self.tokenizer.encode_batch
        decode = self.tokenizer.decode

        def array(text: str) -> Ids:
            return encode(text, split_special_tokens=True).into_numpy()["ids"]

        def ids(text: str) -> list[int]:
            return encode(text, split_special_tokens=True).ids

        def batch(texts: list[str]) -> list[Ids]:
            encodings = encode_batch(texts, split_special_tokens=True)
            return [encoding.into_numpy()["ids"] for encoding in encodings]

        one = Way("encode().into_numpy", array)
        match case:
            case "documents":
                return [one, Way("encode_batch, into_numpy", batch, many=True)]
            case "whole" | "worst":
                return [one]
            case "small":
                return [one, Way("encode().ids", ids)]
            case "list":
                return [Way("encode().ids", ids)]
            case "count":
                plain = {"split_special_tokens": True}
                return [Way("len(encode)", lambda text: len(encode(text, **plain)))]
            case "batch":
                return [Way("encode_batch, into_numpy", batch, many=True)]
            case "files":
                return [Way("encode_batch of texts", reading(batch), many=True)]
            case "decode text" | "decode one":
                return [Way("decode", decode, wants="list")]
        return []
