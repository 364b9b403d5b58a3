"""`Conversation`: turns with a model, each of which reads only what is new.

The key-value cache is kept between turns together with the ids that it was made from. A turn
encodes the conversation anew, keeps the part of the cache whose ids are the same and reads the
rest, so that an answer is exactly what it is without a cache: nothing is guessed about how the
template writes an answer that the model gave.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llama3_tok.chat.assistant import AssistantMessage
from llama3_tok.chat.messages import Message
from llama3_tok.errors import ChatFormatError
from llama3_tok.torch.generation import Generation, Reader
from llama3_tok.torch.runner import Options, Runner, Stream

__all__ = ["Conversation"]


class Conversation:
    """A conversation with a model; `Llama3.chat` makes one.

    `messages` are all of it, the system message and the model's answers included. What does not
    fit into the context any more is left out from the oldest turn on, as `Tokenizer.fit_chat` does;
    it stays in `messages`. `last` is the `Generation` behind the last answer, which also says how
    many tokens did not have to be read again. It has a state: one turn at a time.
    """

    def __init__(
        self,
        model: "Runner",
        system: str | None,
        described: Mapping[str, Any],
        options: "Options",
    ) -> None:
        self.messages: list[Message] = []
        self.last: Generation | None = None
        self._model, self._options = model, options
        # They are read in each turn, so an iterator would be empty in the second.
        self._described: dict[str, Any] = {
            name: list(value)
            if isinstance(value, Iterable) and not isinstance(value, str | Mapping)
            else value
            for name, value in described.items()
        }
        self._system = system
        self._reader: Reader | None = None
        self._read: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Forgets all but the system message."""
        self.messages = []
        if self._system is not None:
            self.messages.append({"role": "system", "content": self._system})
        self.last, self._reader, self._read = None, None, []

    def send(self, message: "str | Message | Sequence[Message]") -> AssistantMessage:
        """Says something, and gives the answer: its text, calls of tools, or code.

        `message` is what the user says, or a message, as a tool's result, or several. Raises what
        `Llama3.generate` does, and ChatFormatError with `field` "max_tokens" if the turn alone is
        longer than the context; the conversation is then as it was before.
        """
        for _ in self.stream(message):
            pass
        return self.answer()

    def stream(self, message: "str | Message | Sequence[Message]") -> Iterator[str]:
        """The answer to a message in pieces, as `Llama3.stream` gives them; `answer` reads it.

        If it is closed before its end, what was said until then is the answer.
        """
        before = self.messages
        self.messages = [*before, *_messages(message)]
        ids: list[int] = []
        pieces: Stream | None = None
        try:
            ids = self._ids()
            pieces = self._model.stream_from(self._reuse(ids), ids, self._options)
            yield from pieces
        except BaseException as error:
            if pieces is None or isinstance(error, Exception):
                self.messages = before
            else:
                self._conclude(ids, pieces.generation)
            if not isinstance(error, GeneratorExit):  # the layers' caches may differ in length
                self._reader, self._read = None, []
            raise
        self._conclude(ids, pieces.generation)

    def answer(self) -> AssistantMessage:
        """The last answer, read by `parse_assistant`; ValueError if there is none."""
        if self.last is None:
            raise ValueError("there is no answer yet")
        return self._parsed(self.last)

    def _parsed(self, last: Generation) -> AssistantMessage:
        ended_by_text = last.finish_reason == "stop_string"  # which is not a part of the answer
        return self._model.tokenizer.parse_assistant(last.text if ended_by_text else last.ids)

    def _conclude(self, ids: list[int], last: Generation) -> None:
        """Takes an answer in."""
        self.last = last
        if self._reader is not None:  # the last token was given out, and not read
            self._read = (ids + last.ids)[: self._reader.length]
        self.messages = [*self.messages, self._answered(last)]

    def _ids(self) -> list[int]:
        """The conversation up to the answer's header, as much of it as fits."""
        tokenizer, context = self._model.tokenizer, self._model.context
        wished = self._options.get("max_new_tokens", 256)
        try:
            # Older turns leave room for the answer, as long as it is no more than half of all.
            fitted = tokenizer.fit_chat(
                self.messages, context, answer_tokens=min(wished, context // 2), **self._described
            )
        except ChatFormatError as error:
            if error.field != "max_tokens":
                raise
            fitted = tokenizer.fit_chat(self.messages, context, answer_tokens=1, **self._described)
        ids: list[int] = tokenizer.encode_chat(fitted.messages, **self._described)
        return ids

    def _reuse(self, ids: list[int]) -> Reader:
        """A reader whose cache has the beginning of `ids`, not their last, which is to be read."""
        if self._reader is None:
            self._reader = Reader(self._model.network, self._model.tokenizer)
            self._read = []
        most = min(len(self._read), len(ids) - 1)
        same = next((at for at in range(most) if self._read[at] != ids[at]), most)
        if same < self._reader.length:
            self._reader.crop(same)
        return self._reader

    def _answered(self, last: Generation) -> Message:
        """The answer as a message, which the next turn reads.

        As calls where the format can write them; several at once, as some formats can't, are text.
        """
        message = self._parsed(last).to_message()
        try:
            self._model.tokenizer.encode_chat(
                [*self.messages, message], add_generation_prompt=False, **self._described
            )
        except ChatFormatError:
            return {"role": "assistant", "content": last.text}
        return message


def _messages(message: "str | Message | Sequence[Message]") -> list[Message]:
    if isinstance(message, str):
        return [{"role": "user", "content": message}]
    return [message] if isinstance(message, Mapping) else list(message)
