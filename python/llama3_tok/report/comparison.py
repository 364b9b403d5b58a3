"""`Comparison`: what a comparison found, as data, as JSON and as a page."""

from typing import Any

from llama3_tok.report import languages
from llama3_tok.report.causes import MEANINGS
from llama3_tok.report.comparison_page import page
from llama3_tok.report.counts import Counts
from llama3_tok.report.figures import Figures
from llama3_tok.report.llama2 import Row
from llama3_tok.report.tally import Pair

__all__ = ["Comparison"]


class Comparison(Figures):
    """What `compare` found. Tokens are those of texts alone, without BOS and EOS."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON has it; `bytes` that are not UTF-8 are U+FFFD in strings."""
        return {
            "versions": self.versions,
            "texts": self.texts,
            "total": counts_json(self.total),
            "llama2_byte_tokens": self.byte_tokens,
            "llama2_line_breaks": self.newlines,
            "llama2_spaces_lost": self.spaces_lost,
            "causes": [
                {
                    "cause": each.cause,
                    "means": MEANINGS[each.cause],
                    "more_tokens_llama2": each.llama2,
                    "more_tokens_llama3": each.llama3,
                    "examples": [self._pair(*example) for example in each.examples],
                }
                for each in self.causes
            ],
            "scripts": [{"script": name} | counts_json(counts) for name, counts in self.scripts],
            "languages": [
                {"language": code, "name": languages.name(code)} | counts_json(counts)
                for code, counts in self.languages
            ],
            "types": [
                {"type": name, "files": number} | counts_json(counts)
                for name, number, counts in self.types
            ],
            "files": [{"path": each.path} | counts_json(each.counts) for each in self.files],
            "strings": {
                "gains": [self._pair(*gain) for gain in self.gains],
                "losses": [self._pair(*loss) for loss in self.losses],
                "complete": not self.forgot,
            },
            "rules": [
                {"rule": rule, "llama3": of3, "llama2": of2} for rule, of3, of2 in self.rules
            ],
            "windows": self.windows,
            "price_per_million": None
            if self.prices is None
            else {"llama3": self.prices[0], "llama2": self.prices[1]},
            "cost": self.costs,
            "seconds": {"llama3": self.seconds[0], "llama2": self.seconds[1]},
            "excerpts": [
                {
                    "path": path,
                    "text": excerpt.text.decode("utf-8", "replace"),
                    "llama3": _row_json(excerpt.llama3),
                    "llama2": _row_json(excerpt.llama2),
                    "causes": {str(at): list(causes) for at, causes in excerpt.notes.items()},
                }
                for path, excerpt in self.excerpts
            ],
            "faults": [
                {"path": fault.path, "line": fault.line, "reason": fault.reason}
                for fault in self.faults
            ],
        }

    def to_html(self) -> str:
        """The same as a page: one file that needs nothing else."""
        return page(self).html()

    def _pair(self, pair: Pair, times: int) -> dict[str, Any]:
        return {
            "text": pair.text.decode("utf-8", "replace"),
            "times": times,
            "llama3": list(pair.llama3),
            "llama2": list(pair.llama2),
            "llama2_pieces": [self.llama2.piece(id) for id in pair.llama2],
        }


def counts_json(counts: Counts) -> dict[str, Any]:
    """Counts and what follows from them; None where there are no tokens to divide by."""
    numbers: dict[str, Any] = {"bytes": counts.bytes, "characters": counts.characters}
    for name, tokens in (("llama3", counts.llama3), ("llama2", counts.llama2)):
        numbers[name] = {
            "tokens": tokens,
            "bytes_per_token": counts.bytes / tokens if tokens else None,
            "characters_per_token": counts.characters / tokens if tokens else None,
        }
    return numbers | {"ratio": counts.ratio}


def _row_json(row: "Row") -> list[list[int]]:
    return [
        list(token)
        for token in zip(row.ids.tolist(), row.starts.tolist(), row.ends.tolist(), strict=True)
    ]
