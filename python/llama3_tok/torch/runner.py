"""`Runner`: a network and its tokenizer, which go on with ids; and `Stream`, what comes of it."""

from collections.abc import Iterable, Iterator
from typing import Any, TypedDict

from llama3_tok import arguments
from llama3_tok.errors import Llama3TokError
from llama3_tok.lazy import torch
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.torch.generation import Generation, Reader, Running, run
from llama3_tok.torch.sampling import Sampling, generators
from llama3_tok.torch.stopping import StopStrings, checked

__all__ = ["Options", "Runner", "Stream"]


class Options(TypedDict, total=False):
    """How to generate: the keyword arguments of `Llama3.generate`, `stream` and `chat`."""

    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int | None
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: str | Iterable[str]
    stop_ids: Iterable[int] | None
    heal: bool


class Stream(Iterator[str]):
    """The text of an answer, piece by piece as it is generated.

    Each piece is complete: no half character, and nothing that may be the beginning of a stop
    string. `close` stops the model, as does leaving a `with` block; what was generated stays in
    `generation`.
    """

    def __init__(self, steps: Iterator[None], sequence: Running) -> None:
        self._steps, self._sequence = steps, sequence

    def __next__(self) -> str:
        """The next piece, never empty."""
        while True:
            if self._sequence.finish_reason == "cancelled":
                raise StopIteration
            if piece := self._sequence.new_text():
                return piece
            if self._sequence.finish_reason is not None:
                self.close()
                raise StopIteration
            try:
                next(self._steps)
            except BaseException:
                self._sequence.cancel()
                raise

    def close(self) -> None:
        """Stops generating, and frees the key-value cache."""
        self._sequence.cancel()
        close = getattr(self._steps, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> "Stream":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stops generating."""
        self.close()

    @property
    def generation(self) -> Generation:
        """What was generated, once the stream has ended or was closed; else RuntimeError."""
        if self._sequence.finish_reason is None:
            raise RuntimeError("the stream has not ended; read it to its end, or close it")
        return self._sequence.generation()


class Runner:
    """A network and its tokenizer, with the ids that end generation; see `Llama3`, which is one."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - transformers is an extra
        tokenizer: Tokenizer,
        *,
        stop_ids: Iterable[int] | None = None,
    ) -> None:
        rows = network.get_input_embeddings().weight.shape[0]
        if rows < tokenizer.vocab_size:
            raise Llama3TokError(
                f"the network has {rows:,} rows, and the tokenizer {tokenizer.vocab_size:,} ids: "
                "they are not of the same model"
            )
        self.network, self.tokenizer = network, tokenizer
        self.stop_ids = tokenizer.checked_ids(
            tokenizer.stop_ids if stop_ids is None else stop_ids, "stop_ids"
        )

    @property
    def context(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        return int(self.network.config.max_position_embeddings)

    @property
    def device(self) -> "torch.device":
        """Where the weights are."""
        device: torch.device = self.network.device
        return device

    @property
    def dtype(self) -> "torch.dtype":
        """What the weights are."""
        dtype: torch.dtype = self.network.dtype
        return dtype

    def stream_from(self, reader: Reader, ids: list[int], options: Options) -> Stream:
        """A stream after what a reader has read: `ids` are all of the prompt.

        The reader's cache may have a beginning of them.
        """
        sampling, make = self._settings(options)
        (generator,) = generators(sampling, 1, self.device)
        sequence = make(ids, generator, False)
        ids = sequence.prompt
        if reader.length >= len(ids):
            reader.crop(len(ids) - 1)
        sequence.cached = reader.length
        return Stream(run(reader, [ids[reader.length :]], [sequence], sampling), sequence)

    def _settings(self, options: Options) -> "tuple[Sampling, _Make]":
        """The options, checked."""
        rest: dict[str, Any] = dict(options)
        limit = arguments.count(rest.pop("max_new_tokens", 256), "max_new_tokens", 1)
        stops = checked(rest.pop("stop", ()))
        given = rest.pop("stop_ids", None)
        stop_ids = self.stop_ids if given is None else self.tokenizer.checked_ids(given, "stop_ids")
        heals = rest.pop("heal", False)
        arguments.flag(heals, "heal")
        return Sampling(**rest), _Make(self, limit, stops, stop_ids, heals)

    def check_length(self, tokens: int) -> None:
        """Raises Llama3TokError if a prompt leaves no room for an answer."""
        if tokens >= self.context:
            raise Llama3TokError(
                f"the prompt has {tokens:,} tokens, and the context of the model {self.context:,}, "
                "of which an answer needs at least one; Tokenizer.truncate and fit_chat shorten it"
            )


class _Make:
    """Makes sequences of one kind."""

    def __init__(
        self,
        model: Runner,
        limit: int,
        stops: tuple[str, ...],
        stop_ids: list[int],
        heals: bool,
    ) -> None:
        self._model, self._limit, self._heals = model, limit, heals
        self._stops, self._stop_ids = stops, frozenset(stop_ids)

    def __call__(
        self, prompt: list[int], generator: "torch.Generator", keeps_logprobs: bool
    ) -> Running:
        model = self._model
        model.check_length(len(prompt))
        rest = None
        if self._heals:
            kept, continuation = model.tokenizer.heal(prompt)
            if kept:  # the model has to have something to go on with
                prompt, rest = kept, continuation
        return Running(
            prompt,
            model.tokenizer.stream_decoder(skip_special=True),
            self._stop_ids,
            StopStrings(self._stops),
            min(self._limit, model.context - len(prompt)),
            generator,
            keeps_logprobs,
            rest,
        )
