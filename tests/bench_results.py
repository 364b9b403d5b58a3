"""Results of the benchmark, made up."""


def record(
    case: str, text: str, peer: str, seconds: float, equal: bool | None = True, **more: object
) -> dict:
    """As `Run.record` stores it, for a text of 100 MB."""
    found = {"case": case, "text": text, "peer": peer, "way": "encode", "unit": "MB/s"}
    found |= {"equal": equal, "delivers": True, "failure": None}
    return found | {"samples": [seconds] * 3, "value": 100 / seconds, "bytes": 100_000_000} | more


def made(records: list[dict], names: tuple[str, ...] = ("llama3_tok", "a", "b")) -> dict:
    machine = {"processor": "P", "cores": 2, "python": "3"}
    corpus = {"name": "english", "bytes": 100_000_000, "sha256": "0" * 64}
    return {
        "date": "2026-01-01",
        "commit": "c",
        "command": "compare",
        "machine": machine,
        "peers": {name: {"version": "1"} for name in names},
        "absent": {"gone": "not installed"},
        "corpora": [corpus],
        "records": records,
    }
