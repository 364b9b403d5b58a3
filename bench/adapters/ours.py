"""This project."""

from collections.abc import Iterator

from peer import Assets, Peer, Way, reading


class Llama3Tok(Peer):
    """This project."""

    distribution = module = "llama3_tok"

    def __init__(self, assets: Assets) -> None:
        from llama3_tok import Tokenizer

        self.tokenizer = Tokenizer(assets.vocabulary)

    def ways(self, case: str) -> list[Way]:
        """`encode_array` where the goals say so, whatever is fastest elsewhere."""
        tok = self.tokenizer
        match case:
            case "documents" | "whole" | "worst":
                return [Way("encode_array", tok.encode_array)]
            case "small":
                return [Way("encode_array", tok.encode_array), Way("encode", tok.encode)]
            case "list":
                return [Way("encode", tok.encode)]
            case "count":
                return [Way("count", tok.count)]
            case "batch":
                return [Way("encode_ragged", tok.encode_ragged, many=True)]
            case "files":
                return [self._files()]
            case "decode bytes":
                return [Way("decode_bytes", tok.decode_bytes)]
            case "decode text":
                return [Way("decode", tok.decode)]
            case "decode one":
                return [Way("decode", tok.decode, wants="list")]
        return []

    def _files(self) -> Way:
        """`encode_files` once it is there, until then reading here and encoding there."""
        encode_files = getattr(self.tokenizer, "encode_files", None)
        if encode_files is None:
            return Way("encode_ragged of texts", reading(self.tokenizer.encode_ragged), many=True)

        def run(paths: list[str]) -> object:
            result = encode_files(paths)
            return list(result) if isinstance(result, Iterator) else result

        return Way("encode_files", run, many=True)
