"""The cases: what is measured, on which input, in which process. Each is a function of `Run`."""

from collections.abc import Callable

from run import Run

from cases.footprint import memory
from cases.latency import cold, command, decode_one, load, small, transformers
from cases.many_languages import languages
from cases.parallel import batch, files, threads
from cases.throughput import count, decode, lists, unseen, whole
from cases.worst_inputs import special, worst

CASES: dict[str, Callable[[Run], None]] = {
    "special": special,
    "documents": unseen,
    "whole": whole,
    "list": lists,
    "count": count,
    "decode": decode,
    "small": small,
    "transformers": transformers,
    "decode one": decode_one,
    "cold": cold,
    "batch": batch,
    "files": files,
    "threads": threads,
    "load": load,
    "command": command,
    "worst": worst,
    "languages": languages,
    "memory": memory,
}
