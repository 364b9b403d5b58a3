"""`Rollout`: a conversation with a model that learns from what it sampled."""

from collections.abc import Iterable
from typing import NamedTuple, Unpack

from llama3_tok.arguments import Ids
from llama3_tok.chat.assistant import AssistantMessage
from llama3_tok.chat.messages import ChatOptions, Message, several
from llama3_tok.chat.turns import Turns
from llama3_tok.errors import ChatFormatError
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Rollout"]


class _Answer(NamedTuple):
    """An answer: where its ids are, and its place among the messages."""

    start: int
    end: int
    place: int


class Rollout:
    """A conversation with a model, for reinforcement learning: the ids that it read and sampled.

    What the model samples is kept as it is, id by id: `add_sampled`. What comes after, users and
    results of tools, is written as the format writes it: `add`. So the model's next answer is
    sampled after exactly the ids that it sampled before, and a trainer has the same.

    `messages` and the options are those of `Tokenizer.encode_chat`, of any profile, and of a folder
    whose chat template is run. `ids` is all so far, and what the next answer is sampled after;
    `mask` has a 1 for each id that was sampled, `logprobs` its logarithmic probability.

    Raises ChatFormatError as `encode_chat` does.

    >>> tokenizer = llama3_tok.Tokenizer()
    >>> rollout = llama3_tok.Rollout(tokenizer, [{"role": "user", "content": "2 + 2?"}])
    >>> rollout.add_sampled([19, 128009], [-0.25, -0.125])
    >>> rollout.add([{"role": "user", "content": "And 3 + 3?"}])
    >>> rollout.mask.count(1), [id for id, one in zip(rollout.ids, rollout.mask) if one]
    (2, [19, 128009])
    >>> rollout.ids == tokenizer.encode_chat(rollout.messages), rollout.rewrites
    (True, [])
    """

    def __init__(
        self, tokenizer: "Tokenizer", messages: Iterable[Message], **options: Unpack[ChatOptions]
    ) -> None:
        definition = tokenizer.definition
        self._tokenizer = tokenizer
        self._turns = Turns(definition, options, "Rollout")
        self._stops = frozenset(definition.roles.stops)
        self._messages = list(several(messages, "messages"))
        self._ids = self._turns.encode(self._messages, prompts=True)
        self._prompt = len(self._ids)
        self._mask = [0] * self._prompt
        self._logprobs = [0.0] * self._prompt
        self._answers: list[_Answer] = []
        # Where the answer begins that is being sampled, and whether it has ended.
        self._start, self._has_ended = self._prompt, False

    @property
    def prompt_ids(self) -> list[int]:
        """The ids that the first answer was sampled after: those of the messages given first."""
        return self._ids[: self._prompt]

    @property
    def ids(self) -> list[int]:
        """All ids so far; the next answer is sampled after them."""
        return list(self._ids)

    @property
    def mask(self) -> list[int]:
        """1 for each of `ids` that was sampled, 0 for the others."""
        return list(self._mask)

    @property
    def logprobs(self) -> list[float]:
        """What `add_sampled` was given for each of `ids`.

        It is 0.0 where nothing was sampled, which the mask tells, so that a masked sum is right;
        and NaN for what was sampled and has no logarithmic probability.
        """
        return list(self._logprobs)

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, with what `parse_assistant` makes of each answer."""
        messages = list(self._messages)
        if self._is_sampled:
            messages.append(self.answer.to_message())
        return messages

    @property
    def answer(self) -> AssistantMessage:
        """The last answer, as `parse_assistant` reads it. Raises ValueError before the first."""
        if self._is_sampled:
            return self._tokenizer.parse_assistant(self._ids[self._start :])
        if self._answers:
            last = self._answers[-1]
            return self._tokenizer.parse_assistant(self._ids[last.start : last.end])
        raise ValueError("there is no answer yet: add_sampled has not been called")

    @property
    def is_cut(self) -> bool:
        """Whether the answer that is being sampled has no stop id, as where the tokens ran out."""
        return self._is_sampled and not self._has_ended

    @property
    def _is_sampled(self) -> bool:
        return len(self._ids) > self._start

    def add_sampled(self, ids: "Ids", logprobs: Iterable[float] | None = None) -> None:
        """What the model sampled after `ids`, up to and with its stop id; kept as it is.

        Without a stop id at its end the answer may go on with another call, or has been cut: see
        `add`. `logprobs` are as many numbers as there are ids.

        Raises ValueError for ids after a stop id, and for another number of `logprobs`;
        InvalidTokenId for what is not an id. The rollout is then as it was.
        """
        given = self._tokenizer.checked_ids(ids)
        numbers = [float("nan")] * len(given)
        if logprobs is not None:
            numbers = [float(number) for number in logprobs]
            if len(numbers) != len(given):
                raise ValueError(
                    f"logprobs must be as many as the ids, {len(given)}, not {len(numbers)}"
                )
        if given and self._has_ended:
            raise ValueError("the answer has ended with its stop id; add() comes before the next")
        stop = next((place for place, id in enumerate(given) if id in self._stops), None)
        if stop is not None and stop < len(given) - 1:
            raise ValueError(
                f"ids go on after the stop id {given[stop]} at position {stop}; an answer ends "
                "with it"
            )
        self._ids += given
        self._mask += [1] * len(given)
        self._logprobs += numbers
        self._has_ended = self._has_ended or stop is not None

    def add(self, messages: Iterable[Message]) -> None:
        """What comes after the answer, as the format writes it, and the header of the next answer.

        These are messages of users and results of tools; each is written by itself, so there may be
        results of what `parse_assistant` does not read as a call. An answer without a stop id gets
        the id with which the format ends an answer, as one that was not sampled: its mask is 0.

        Raises ChatFormatError with the `index` among these messages for what the format can't hold,
        and ValueError if nothing has been sampled since the last time. The rollout is then as it
        was.
        """
        new = list(several(messages, "messages"))
        if not new:
            raise ChatFormatError("there are no messages", None, "messages")
        if not self._is_sampled:
            raise ValueError("there is no answer to add messages after: add_sampled comes first")
        answer = self.answer.to_message()
        following = self._turns.following(self._messages, answer, new)
        end = len(self._ids)
        # A folder's stop ids need not have the one that ends an answer in its template.
        has_ended = self._has_ended or self._ids[-1] == following.end
        added = ([] if has_ended else [following.end]) + following.ids
        self._answers.append(_Answer(self._start, end, len(self._messages)))
        self._messages += [answer, *new]
        self._ids += added
        self._mask += [0] * len(added)
        self._logprobs += [0.0] * len(added)
        self._start, self._has_ended = len(self._ids), False

    @property
    def rewrites(self) -> list[str]:
        """What of the answers `encode_chat` would write in another way, in sentences.

        It is empty if `encode_chat` of `messages` has the ids of the rollout, and only then. If it
        is not, a model that is trained on the conversation encoded anew learns from ids that it did
        not sample. An answer without a stop id is compared with the end that `add` gives it.
        """
        ids, answers = self._ids, list(self._answers)
        if self._is_sampled:
            answers.append(_Answer(self._start, len(ids), len(self._messages)))
        messages = self.messages
        try:
            whole = self._turns.encode(messages, prompts=not self._is_sampled)
            if self._is_sampled:
                whole = self._through_the_end(whole)
        except ChatFormatError as error:
            return [f"the format can't hold the conversation: {error}"]
        if whole == ids or (self.is_cut and whole == [*ids, *whole[-1:]]):
            return []
        found = []
        for number, answer in enumerate(answers):
            if reason := self._rewritten(messages, answer):
                found.append(f"answer {number}: {reason}")
        if not found:
            pairs = zip(whole, ids, strict=False)
            place = next(
                (at for at, (a, b) in enumerate(pairs) if a != b), min(len(whole), len(ids))
            )
            found.append(
                f"the format writes the conversation differently from the id at position {place} on"
            )
        return found

    def _through_the_end(self, ids: list[int]) -> list[int]:
        """Ids up to the special token that ends the last message; a template may go on."""
        place = self._turns.end_of(ids)
        return ids if place is None else ids[: place + 1]

    def _rewritten(self, messages: list[Message], answer: _Answer) -> str | None:
        """How the format writes an answer differently, in what is after "answer 0: "."""
        before, message = messages[: answer.place], messages[answer.place]
        try:
            prompt = self._turns.encode(before, prompts=True)
            written = self._through_the_end(self._turns.encode([*before, message], prompts=False))
        except ChatFormatError:  # of a template that takes the whole conversation
            return None
        sampled = self._ids[answer.start : answer.end]
        if written[: len(prompt)] != prompt:
            return "the header before it is written differently once it is answered"
        written = written[len(prompt) :]
        reasons = []
        if sampled and (sampled[-1] in self._stops or sampled[-1:] == written[-1:]):
            if written[-1:] != sampled[-1:]:
                names = [self._tokenizer.decode(ids[-1:]) for ids in (sampled, written)]
                reasons.append(f"it ends with {names[0]}, and the format writes {names[1]}")
            sampled = sampled[:-1]
        written = written[:-1]
        if sampled != written:
            reasons.append(self._how(sampled, written))
        return ", and ".join(reasons) or None

    def _how(self, sampled: list[int], written: list[int]) -> str:
        """How two answers differ that are read alike."""
        theirs, ours = self._tokenizer.decode(sampled), self._tokenizer.decode(written)
        if theirs == ours:
            return "its text has other ids when it is encoded"
        if theirs.strip() == ours.strip():
            at = {"beginning": _leading(theirs) != _leading(ours)}
            at["end"] = _leading(theirs[::-1]) != _leading(ours[::-1])
            places = " and ".join(place for place, differs in at.items() if differs)
            return f"white space at its {places} is taken off"
        read, again = (self._tokenizer.parse_assistant(ids) for ids in (sampled, written))
        if read.tool_calls and read.content and not again.content:
            return "the text before its call is left out"
        if read.tool_calls and (
            [(call.name, call.arguments) for call in read.tool_calls]
            == [(call.name, call.arguments) for call in again.tool_calls]
        ):
            return "its calls are written in another order, spacing or form"
        if read.code is not None:
            return "its code is written as the call of a tool"
        return "its text is written differently"


def _leading(text: str) -> str:
    """The white space that a text begins with."""
    return text[: len(text) - len(text.lstrip())]
