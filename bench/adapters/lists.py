"""Libraries with tiktoken's interface: `list[int]`, but for tiktoken's own arrays."""

import os

from peer import Assets, Ids, Peer, Way, cores, lists, reading


class Tiktoken(Peer):
    """The reference."""

    distribution = module = "tiktoken"

    def __init__(self, assets: Assets) -> None:
        os.environ["TIKTOKEN_CACHE_DIR"] = ""  # it would copy the file, which is local already
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        ranks = load_tiktoken_bpe(assets.vocabulary)
        self.encoding = tiktoken.Encoding(
            "llama3",
            pat_str=assets.pattern,
            mergeable_ranks=ranks,
            special_tokens=dict(assets.special),
        )

    def ways(self, case: str) -> list[Way]:
        """`encode_to_numpy` beats `encode_ordinary` on long texts."""
        encoding = self.encoding

        def array(text: str) -> Ids:
            return encoding.encode_to_numpy(text, disallowed_special=())

        def batch(texts: list[str]) -> list[list[int]]:
            return encoding.encode_ordinary_batch(texts, num_threads=cores())

        match case:
            case "documents" | "whole" | "worst":
                return [Way("encode_to_numpy", array)]
            case "count":
                return [Way("len(encode_to_numpy)", lambda text: len(array(text)))]
            case "batch":
                return [Way("encode_ordinary_batch", batch, many=True)]
            case "files":
                return [Way("encode_ordinary_batch of texts", reading(batch), many=True)]
            case "decode bytes":
                return [Way("decode_bytes", encoding.decode_bytes, wants="list")]
            case "decode text" | "decode one":
                return [Way("decode", encoding.decode, wants="list")]
        return lists("encode_ordinary", encoding.encode_ordinary, case)


class Riptoken(Peer):
    """tiktoken's interface."""

    distribution = module = "riptoken"

    def __init__(self, assets: Assets) -> None:
        import riptoken

        ranks = riptoken.load_tiktoken_bpe(assets.vocabulary)
        self.core = riptoken.CoreBPE(ranks, dict(assets.special), assets.pattern)

    def ways(self, case: str) -> list[Way]:
        """Lists throughout."""
        core = self.core
        match case:
            case "batch":
                return [Way("encode_ordinary_batch", core.encode_ordinary_batch, many=True)]
            case "files":
                run = reading(core.encode_ordinary_batch)
                return [Way("encode_ordinary_batch of texts", run, many=True)]
            case "decode bytes":
                return [Way("decode_bytes", core.decode_bytes, wants="list")]
            case "decode text" | "decode one":
                return [Way("decode", core.decode, wants="list")]
        return lists("encode_ordinary", core.encode_ordinary, case)


class Kitoken(Peer):
    """Lists; its batches run on one thread."""

    distribution = module = "kitoken"

    def __init__(self, assets: Assets) -> None:
        import kitoken

        # From the JSON it would find special tokens in text differently; the rank file it knows.
        self.tokenizer = kitoken.Kitoken.from_tiktoken_file(assets.vocabulary)

    def ways(self, case: str) -> list[Way]:
        """`encode_all` for many texts, `encode` for one."""
        tokenizer = self.tokenizer
        match case:
            case "documents" | "list":
                return [Way("encode_all", tokenizer.encode_all, many=True)]
            case "batch":
                return [Way("encode_all", tokenizer.encode_all, many=True)]
            case "files":
                return [Way("encode_all of texts", reading(tokenizer.encode_all), many=True)]
            case "decode bytes":
                return [Way("decode", tokenizer.decode, wants="list")]
            case "decode text" | "decode one":

                def decode(ids: list[int]) -> str:
                    return tokenizer.decode(ids).decode()

                return [Way("decode, then UTF-8", decode, wants="list")]
        return lists("encode", tokenizer.encode, case)


class Wordchipper(Peer):
    """It loads encodings by name alone, and has had none of Llama 3's up to 0.9.2.

    Nor can its cached `cl100k_base` be given Meta's ranks, whose pattern is the same: the special
    ids of cl100k are ids of tokens there, and it refuses that. As soon as it names a Llama 3
    encoding it is measured.
    """

    distribution = module = "wordchipper"

    def __init__(self, assets: Assets) -> None:
        import wordchipper

        known = wordchipper.Tokenizer.available_models()
        found = [name for name in known if "llama3" in name.replace("-", "").replace("_", "")]
        if not found:
            raise LookupError(f"it has no Llama 3 encoding, only {', '.join(sorted(known))}")
        self.tokenizer = wordchipper.Tokenizer.from_pretrained(found[0])
        self.plain = wordchipper.SpecialFilter.include_none()

    def ways(self, case: str) -> list[Way]:
        """Lists; its batches use all cores."""
        tokenizer, plain = self.tokenizer, self.plain

        def encode(text: str) -> list[int]:
            return tokenizer.encode(text, plain)

        def batch(texts: list[str]) -> list[list[int]]:
            return tokenizer.encode_batch(texts, plain)

        match case:
            case "documents":
                return [Way("encode", encode), Way("encode_batch", batch, many=True)]
            case "batch":
                return [Way("encode_batch", batch, many=True)]
            case "files":
                return [Way("encode_batch of texts", reading(batch), many=True)]
            case "decode bytes":
                return [Way("decode_bytes", tokenizer.decode_bytes, wants="list")]
            case "decode text" | "decode one":
                return [Way("decode", tokenizer.decode, wants="list")]
        return lists("encode", encode, case)
