"""The worst inputs, and names of special tokens in text."""

from corpora import WORST
from harness import Failure
from run import Run, Way, is_ours
from worker import Source


def worst(run: Run) -> None:
    """Inputs made to be slow; random ones are made anew for each round."""
    patient, run.settings.limit = run.settings.limit, run.settings.worst_limit
    run.pinned.close()
    try:
        for name in WORST:
            run.say(f"worst inputs: {name}")
            worst_one(run, name)
    finally:
        run.settings.limit = patient
        run.pinned.close()


def worst_one(run: Run, name: str) -> None:
    """One of the worst inputs; ours at four times the size as well."""
    size = run.settings.worst_bytes
    compared = run.compare("worst", Source("worst", name, size))

    def measure(way: Way, number: int, size: int = size) -> float:
        source = Source("worst", name, size, seed=1 + number)
        [sample] = run.pinned.call(way[0], "time", case="worst", way=way[1], source=source)
        return sample

    run.time("worst", name, compared, measure, patience=0.2, bytes=size)
    ours = {way: found for way, found in compared.items() if is_ours(way[0])}
    run.time(
        "worst, four times",
        name,
        ours,
        lambda way, number: measure(way, number, 4 * size),
        patience=0.2,
        bytes=4 * size,
    )


def special(run: Run) -> None:
    """Whether names of special tokens stay text: the ids of a text that has one."""
    run.say("special tokens in text")
    text = "one<|eot_id|>two"
    reserved = set(run.assets.special.values())
    for (name, label), delivers in run.ways("documents").items():
        if not delivers:
            continue
        try:
            ids = run.pinned.call(name, "ids", case="documents", way=label, text=text)
            run.record("special", text, (name, label), "", equal=not reserved & set(ids), ids=ids)
        except Failure as failure:
            run.record("special", text, (name, label), "", equal=None, failure=str(failure))
