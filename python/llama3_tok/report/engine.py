"""The run of a parity report: every item to every reference, one after the other.

References are asked in turn, never at once, so that each has the processor for itself when its time
is taken. A difference is explained (`known_causes.py`), shrunk (`shrink.py`) and put to the vote of
all references; a reference that fails for an item is asked for the next one all the same.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llama3_tok.lazy import np, npt
from llama3_tok.page.rows import TokenRow
from llama3_tok.report.client import Answer, Client, Unusable
from llama3_tok.report.items import Item
from llama3_tok.report.known_causes import (
    CUTS,
    NO_VOCAB_FIRST,
    Cause,
    Culprit,
    explain,
    find_culprit,
    lacks_vocab_first,
    replaced,
)
from llama3_tok.report.ours import Ours
from llama3_tok.report.outcome import (
    OURS,
    Mismatch,
    ReferenceOutcome,
    Tally,
    Witness,
    vote,
)
from llama3_tok.report.references import Reference
from llama3_tok.report.shrink import Budget, around, shrink
from llama3_tok.report.witness import Shower
from llama3_tok.tokenizer import Tokenizer

Array: TypeAlias = "npt.NDArray[np.uint32]"

__all__ = ["Asked", "Run"]

# What shrinking one difference may cost, and all of one reference.
_QUESTIONS, _SECONDS, _ALL_SECONDS = 800, 20.0, 180.0
# Of differences with the same causes this many are shrunk; more of those that nothing excuses.
_SHRUNK, _SHRUNK_UNEXPLAINED = 5, 100
# Mismatches and failures that are listed; all are counted.
_LISTED = 1000
# Characters of other Unicode versions in one item.
_CULPRITS = 64


class Asked:
    """A reference that takes part in a run."""

    def __init__(
        self, reference: Reference, client: Client | None, outcome: ReferenceOutcome
    ) -> None:
        self.reference, self.client, self.outcome = reference, client, outcome
        self.culprits: dict[str, tuple[Culprit, Witness]] = {}
        self.shrunk: dict[tuple[Cause, ...], int] = {}
        self.shrinking = 0.0

    def takes(self, item: Item) -> bool:
        """Whether it can be asked for an item."""
        if self.client is None or item.kind not in self.reference.items:
            return False
        # Meta's class has no tools: its callers write them into the system message.
        return not (self.reference.kind == "meta" and item.chat and item.chat.options)

    def ask(self, item: Item) -> Answer | None:
        """Its answer; None if it is of no more use."""
        if self.client is None:
            return None
        try:
            if item.chat is not None:
                return self.client.ask_chat(item.chat.messages, item.chat.options)
            return self.client.ask_text(item.text, item.special)
        except Unusable as error:
            self.outcome.status, self.outcome.reason = "unusable", str(error)
            self.close()
            return None

    def close(self) -> None:
        """Ends its process."""
        client, self.client = self.client, None
        if client is not None:
            self.outcome.restarts = client.restarts
            client.close()


class Run:
    """One report in the making."""

    def __init__(self, tokenizer: Tokenizer, references: Sequence[Asked]) -> None:
        self._ours, self._asked = Ours(tokenizer), references
        self._shower = Shower(self._ours)
        self.outcome = ReferenceOutcome(OURS, None)

    def compare(self, item: Item) -> None:
        """Compares one item with every reference that takes it."""
        answers: dict[str, Answer] = {}
        for asked in self._asked:
            if not asked.takes(item):
                continue
            form = "" if item.chat is None else self._ours.dialect(asked.reference.kind)
            if form not in answers:
                answers[form] = self._ours.answer(item, asked.reference.kind)
                if len(answers) == 1:
                    self._count(self.outcome, item, answers[form])
            theirs = asked.ask(item)
            if theirs is not None:
                self._judge(asked, item, answers[form], theirs)

    def _count(self, outcome: ReferenceOutcome, item: Item, answer: Answer) -> Tally:
        """Adds an item to the sums; gives those of its group."""
        size = len(item.text) if item.chat is None else len(str(item.chat.messages))
        group = outcome.groups.setdefault(item.group, Tally())
        for tally in (outcome.total, group):
            tally.items += 1
            tally.bytes += size
            tally.tokens += 0 if answer.ids is None else len(answer.ids)
        if answer.ids is not None:
            outcome.seconds += answer.seconds
            outcome.encoded += size
        return group

    def _judge(self, asked: Asked, item: Item, ours: Answer, theirs: Answer) -> None:
        import numpy as np

        outcome = asked.outcome
        tallies = (outcome.total, self._count(outcome, item, theirs))
        if theirs.failure is not None or theirs.ids is None:
            for tally in tallies:
                tally.failures += 1
            if theirs.failure is not None and len(outcome.failures) < _LISTED:
                outcome.failures.append((item.name, theirs.failure))
        elif ours.ids is not None and np.array_equal(ours.ids, theirs.ids):
            for tally in tallies:
                tally.equal += 1
        else:
            mismatch = self._mismatch(asked, item, ours, theirs.ids)
            for tally in tallies:
                tally.explained += mismatch.explained
                tally.mismatches += not mismatch.explained
            for cause in mismatch.causes:
                outcome.causes[cause] = outcome.causes.get(cause, 0) + 1
            if len(outcome.mismatches) < _LISTED:
                outcome.mismatches.append(mismatch)

    # One difference

    def _mismatch(self, asked: Asked, item: Item, ours: Answer, theirs: "Array") -> Mismatch:
        if ours.ids is None:
            refused = Cause(
                "refused here",
                "" if ours.failure is None else ours.failure.reason,
                excuses=False,
            )
            return Mismatch(item.name, item.group, 0, 0, (refused,), None)
        place = self._shower.place(ours.ids, theirs)
        causes = explain(self._ours, item, asked.reference.kind, theirs)
        witness: Witness | None = None
        if causes is not None:
            if self._may_shrink(asked, causes):
                witness = self._witness(asked, item, causes)
        elif item.chat is None:
            causes, witness = self._in_the_witness(asked, item, theirs)
        elif self._may_shrink(asked, ()):
            witness = self._witness(asked, item, None)
        return Mismatch(item.name, item.group, place.token, place.byte, causes or (), witness)

    def _may_shrink(self, asked: Asked, causes: tuple[Cause, ...]) -> bool:
        """Whether one more difference of this kind is to be shrunk; if so it counts."""
        is_excused = bool(causes) and all(cause.excuses for cause in causes)
        most = _SHRUNK if is_excused else _SHRUNK_UNEXPLAINED
        count = asked.shrunk.get(causes, 0)
        if count >= most or asked.shrinking > _ALL_SECONDS:
            return False
        asked.shrunk[causes] = count + 1
        return True

    def _in_the_witness(
        self, asked: Asked, item: Item, theirs: "Array"
    ) -> tuple[tuple[Cause, ...], Witness | None]:
        """Causes that are looked for in the witness: no vocab-first, and classes of characters."""
        if lacks_vocab_first(self._ours, item.text, theirs):
            shrinks = self._may_shrink(asked, (NO_VOCAB_FIRST,))
            return (NO_VOCAB_FIRST,), self._witness(asked, item, None) if shrinks else None
        text = item.text.decode("utf-8", "surrogateescape")
        found = {c: known for c, known in asked.culprits.items() if c in text}
        witness: Witness | None = None
        while len(found) < _CULPRITS:
            culprits = [culprit for culprit, _ in found.values()]
            mapped = dataclasses.replace(item, text=replaced(item.text, culprits))
            more = self._explained(asked, mapped) if found else None
            if more is not None:
                causes = tuple(culprit.cause() for culprit in culprits)
                return (*causes, *more), next(iter(found.values()))[1]
            if not self._may_shrink(asked, ()):
                break
            witness = self._witness(asked, mapped, None)
            if len(witness.text) < witness.bytes:
                break
            answer = asked.ask(Item("", "", witness.text, item.special))
            if answer is None or answer.ids is None:
                break
            if lacks_vocab_first(self._ours, witness.text, answer.ids):
                return (NO_VOCAB_FIRST,), witness
            culprit = find_culprit(
                self._ours, witness.text, answer.ids, lambda text: self._plain_ids(asked, text)
            )
            if culprit is None or culprit.character in found:
                break
            found[culprit.character] = asked.culprits[culprit.character] = (culprit, witness)
        return (), witness

    def _plain_ids(self, asked: Asked, text: bytes) -> "Array | None":
        answer = asked.ask(Item("", "", text))
        return None if answer is None else answer.ids

    def _explained(self, asked: Asked, item: Item) -> tuple[Cause, ...] | None:
        """Nothing if the reference gives our ids, the causes if they can be told, else None."""
        import numpy as np

        theirs = asked.ask(item)
        if theirs is None or theirs.ids is None:
            return None
        if np.array_equal(self._ours.text(item.text, item.special), theirs.ids):
            return ()
        return explain(self._ours, item, asked.reference.kind, theirs.ids)

    # Witnesses

    def _witness(self, asked: Asked, item: Item, causes: tuple[Cause, ...] | None) -> Witness:
        """The smallest part of an item that differs for the same causes, and who says what."""
        started = time.monotonic()
        budget = Budget(_QUESTIONS, _SECONDS)
        minimal = False
        if causes is None or CUTS not in causes:
            item, minimal = self._shrunk(asked, item, causes, budget)
        kind = asked.reference.kind
        ours = self._ours.answer(item, kind)
        answers: list[tuple[str, bytes]] = []
        rows: list[TokenRow] = []
        text = b""
        whole = item.text if item.chat is None else self._ours.rendered(item, kind)
        if ours.ids is not None:
            answers.append((OURS, ours.ids.tobytes()))
        for other in self._asked:
            same_format = item.chat is None or (
                self._ours.dialect(other.reference.kind) == self._ours.dialect(kind)
            )
            theirs = other.ask(item) if same_format and other.takes(item) else None
            if theirs is None or theirs.ids is None:
                continue
            answers.append((other.reference.name, theirs.ids.tobytes()))
            if other is asked and ours.ids is not None:
                text, rows = self._shower.rows(whole, ours.ids, theirs.ids, other.reference.name)
        groups, verdict = vote(answers)
        asked.shrinking += time.monotonic() - started
        questions = _QUESTIONS - max(0, budget.questions)
        return Witness(text, len(whole), minimal, questions, rows, groups, verdict)

    def _shrunk(
        self, asked: Asked, item: Item, causes: tuple[Cause, ...] | None, budget: Budget
    ) -> tuple[Item, bool]:
        def fails(smaller: Item) -> bool:
            return self._differs(asked, smaller, causes)

        if item.chat is not None:
            return self._shrunk_chat(item, fails, budget)

        def item_of(units: Sequence[str]) -> Item:
            text = "".join(units).encode("utf-8", "surrogateescape")
            return dataclasses.replace(item, text=text)

        units = list(item.text.decode("utf-8", "surrogateescape"))
        ours, theirs = self._ours.text(item.text, item.special), asked.ask(item)
        if theirs is None or theirs.ids is None:
            return item, False
        byte = self._shower.place(ours, theirs.ids).byte
        place = len(item.text[:byte].decode("utf-8", "surrogateescape"))
        near = around(units, place, lambda part: fails(item_of(part)), budget)
        left, minimal = shrink(near, lambda part: fails(item_of(part)), budget)
        return item_of(left), minimal

    def _shrunk_chat(
        self, item: Item, fails: Callable[[Item], bool], budget: Budget
    ) -> tuple[Item, bool]:
        """First messages are left out, then characters of those that have text."""
        assert item.chat is not None
        chat = item.chat

        def item_of(messages: Sequence[dict[str, Any]]) -> Item:
            return dataclasses.replace(
                item, chat=dataclasses.replace(chat, messages=list(messages))
            )

        messages, minimal = shrink(chat.messages, lambda part: fails(item_of(part)), budget)
        for index, message in enumerate(messages):
            if not isinstance(message.get("content"), str) or not message["content"]:
                continue

            def with_content(
                units: Sequence[str],
                before: list[dict[str, Any]] = messages[:index],
                message: dict[str, Any] = message,
                behind: list[dict[str, Any]] = messages[index + 1 :],
            ) -> list[dict[str, Any]]:
                return [*before, message | {"content": "".join(units)}, *behind]

            units, done = shrink(
                message["content"], lambda part: fails(item_of(with_content(part))), budget
            )
            messages, minimal = with_content(units), minimal and done
        return item_of(messages), minimal

    def _differs(self, asked: Asked, item: Item, causes: tuple[Cause, ...] | None) -> bool:
        """Whether the reference differs on an item, for the very causes."""
        import numpy as np

        ours, theirs = self._ours.answer(item, asked.reference.kind), asked.ask(item)
        if ours.ids is None or theirs is None or theirs.ids is None:
            return False
        if np.array_equal(ours.ids, theirs.ids):
            return False
        return explain(self._ours, item, asked.reference.kind, theirs.ids) == causes
