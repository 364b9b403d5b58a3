"""`Llama3`: a Llama 3 model with its tokenizer, from text to text.

The network is transformers' `LlamaForCausalLM`. In reading order: `folder` is where the weights
are, `sampling` which token comes next, `stopping` where the text ends, `generation` the loop over
both, `runner` a network with its tokenizer, `conversation` turns that share a key-value cache,
`scoring` what a text's tokens are worth, and `training` what training needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, Unpack, cast, overload

from llama3_tok import arguments
from llama3_tok.arguments import FilePath, Ids, Text
from llama3_tok.chat.messages import Message
from llama3_tok.lazy import torch
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.torch.conversation import Conversation
from llama3_tok.torch.folder import Attention, ModelFolder
from llama3_tok.torch.generation import Generation, Reader, run
from llama3_tok.torch.runner import Options, Runner, Stream
from llama3_tok.torch.sampling import generators
from llama3_tok.torch.scoring import Mask, Score
from llama3_tok.torch.stopping import checked

__all__ = ["Llama3", "Prompt"]

Prompt: TypeAlias = "Text | Ids | Sequence[Message]"
Dtype: TypeAlias = Literal["auto", "bfloat16", "float16", "float32"]


class Llama3(Runner):
    """A Llama 3 model and its tokenizer; `Llama3.load` reads both from a folder.

    `network` is a `LlamaForCausalLM` of transformers, `tokenizer` a `Tokenizer` for it, and
    `stop_ids` the ids that end generation (default: the profile's). Raises Llama3TokError if the
    network has fewer rows than the tokenizer has ids.
    """

    @classmethod
    def load(
        cls,
        folder: FilePath,
        *,
        dtype: "Dtype | torch.dtype" = "auto",
        device: "str | torch.device" = "auto",
        attention: Attention = "sdpa",
        tokenizer: Tokenizer | None = None,
    ) -> "Llama3":
        """Loads a folder as transformers has it, from the Hub or from `convert_checkpoint`.

        `dtype` "auto" is what the weights are stored in; float16 becomes float32 on a CPU, with a
        warning. `device` "auto" is the first CUDA device, else the CPU. `attention` is one of those
        that transformers has; the flash one needs CUDA, bfloat16 or float16, and its package.
        `tokenizer` is by default the folder's, with the profile that the folder tells. Nothing is
        downloaded.

        Raises CheckpointError with `file` and `tensor` for a folder that is incomplete, damaged or
        of another model, or whose vocabulary is not the tokenizer's; MissingExtra without torch;
        Llama3TokError for attention that can't be had; MemoryError with the sizes.

        >>> model = Llama3.load("Llama-3.2-1B-Instruct")  # doctest: +SKIP
        >>> model.generate("The capital of France is", max_new_tokens=5).text  # doctest: +SKIP
        ' Paris. The capital of'
        """
        if tokenizer is not None and not isinstance(tokenizer, Tokenizer):
            kind = type(tokenizer).__name__
            raise TypeError(f"tokenizer must be a Tokenizer or None, not {kind}")
        model = ModelFolder(arguments.path(folder, "folder"))
        tokenizer = model.tokenizer(tokenizer)
        stop_ids = model.stop_ids(tokenizer)
        network = model.network(str(dtype), str(device), attention)
        return cls(network, tokenizer, stop_ids=stop_ids)

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        n: None = None,
        return_logprobs: bool = False,
        **options: Unpack[Options],
    ) -> Generation: ...
    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        n: int,
        return_logprobs: bool = False,
        **options: Unpack[Options],
    ) -> list[Generation]: ...
    def generate(
        self,
        prompt: Prompt,
        *,
        n: int | None = None,
        return_logprobs: bool = False,
        **options: Unpack[Options],
    ) -> Generation | list[Generation]:
        """What the model writes after a prompt.

        `prompt` is a text, which gets a BOS and in which special tokens are text; or ids, as they
        are; or the messages of a chat. `options` are:

        - `max_new_tokens` (256): the most that are generated, the context permitting.
        - `temperature` (0, the likeliest token each time), `top_k`, `top_p`, `min_p`,
          `repetition_penalty`: how the next token is chosen, as transformers has it; see
          `Sampling`.
        - `seed`: makes draws repeatable on the same kind of device, whatever else is in the batch.
        - `stop`: a text or several that end the answer, and are not part of it.
        - `stop_ids`: the ids that end it, in place of the model's; an empty list is none.
        - `heal`: takes the end of the prompt back to where its ids are certain, as
          `Tokenizer.heal` does, and has the model write it again, which the text does not show: for
          prompts that end inside a word.

        With `n` a list of that many samples is given; sample j of them is what `seed + j` gives.
        `return_logprobs` adds the tokens' log probabilities.

        Raises Llama3TokError for a prompt that fills the context, InvalidTokenId, ChatFormatError,
        ValueError and TypeError for options out of range, MemoryError with the sizes.
        """
        arguments.flag(return_logprobs, "return_logprobs")
        count = 1 if n is None else arguments.count(n, "n", 1)
        made = self._generate([self._prompt(prompt)], count, return_logprobs, options)
        return made[0] if n is None else made

    def generate_batch(
        self,
        prompts: Iterable[Prompt],
        *,
        return_logprobs: bool = False,
        **options: Unpack[Options],
    ) -> list[Generation]:
        """What the model writes after each prompt, all at once: as `generate` one by one.

        The sums of a batch are added up in another order, so in bfloat16 two tokens that are almost
        equally likely may change places.
        """
        arguments.flag(return_logprobs, "return_logprobs")
        arguments.refuse_text(prompts, "prompts")
        ids = [self._prompt(prompt) for prompt in prompts]
        return self._generate(ids, 1, return_logprobs, options) if ids else []

    def stream(self, prompt: Prompt, **options: Unpack[Options]) -> Stream:
        """The answer as it is generated: pieces of text that together are `generate(...).text`.

        >>> with model.stream("Once upon a time") as pieces:  # doctest: +SKIP
        ...     for piece in pieces:
        ...         print(piece, end="", flush=True)
        """
        reader = Reader(self.network, self.tokenizer)
        return self.stream_from(reader, self._prompt(prompt), options)

    def chat(
        self,
        *,
        system: str | None = None,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        documents: Iterable[Mapping[str, Any]] | None = None,
        date: Any = None,  # noqa: ANN401 - as `encode_chat` has it
        chat_template: str | None = None,
        template_variables: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> "Conversation":
        """A conversation, which keeps its messages and what the model has read of them.

        `system` is the system message; `options` are those of `generate`, and the others those of
        `Tokenizer.encode_chat`.

        >>> chat = model.chat(system="Answer briefly.")  # doctest: +SKIP
        >>> chat.send("What is the capital of France?").content  # doctest: +SKIP
        'Paris.'
        """
        from llama3_tok.torch.conversation import Conversation

        # What is wrong is said now, not at the first answer; iterators would serve that alone.
        if "stop" in options:
            options["stop"] = checked(options["stop"])
        if options.get("stop_ids") is not None:
            options["stop_ids"] = self.tokenizer.checked_ids(options["stop_ids"] or (), "stop_ids")
        self._settings(options)
        described = {
            "tools": tools,
            "builtin_tools": builtin_tools,
            "documents": documents,
            "date": date,
            "chat_template": chat_template,
            "template_variables": template_variables,
        }
        return Conversation(self, system, described, options)

    def score(
        self,
        text: Prompt,
        *,
        stride: int | None = None,
        window: int | None = None,
        mask: "Mask" = None,
        batch_size: int = 1,
    ) -> "Score":
        """How likely the model finds each token of a text, and all of it: see `Score`.

        A text gets a BOS. Ids are taken as they are, and messages as `encode_chat` has them without
        a header after the last; the first id has nothing before it, and no score. With
        `mask="assistant"` only those tokens of messages count that the assistant writes; for ids
        `mask` may have a value for each.

        With `stride` a text may be longer than the context: it is read in windows of `window`
        tokens (default: the context), each of which begins `stride` tokens after the one before.
        Each token is scored once, and those after the first window with at least `window - stride`
        tokens before them. A smaller stride gives more context to each, and takes longer.
        `batch_size` windows are read at a time; memory grows with that, and not with the text.

        Raises Llama3TokError for a text longer than the window without a stride; ValueError for one
        without tokens to score, and for numbers out of range; InvalidTokenId, ChatFormatError,
        TypeError; MemoryError with the sizes.

        >>> model.score(book, stride=4096).perplexity  # doctest: +SKIP
        6.214
        """
        from llama3_tok.torch.scoring import score_all

        return score_all(self, [text], stride, window, mask, batch_size)[0]

    def score_batch(
        self,
        prompts: Iterable[Prompt],
        *,
        stride: int | None = None,
        window: int | None = None,
        mask: Literal["assistant"] | None = None,
        batch_size: int = 8,
    ) -> "list[Score]":
        """The score of each text, ids or messages: as `score` one by one.

        `batch_size` windows are read at a time, of whichever texts. In bfloat16 sums are rounded in
        another way than alone. Raises what `score` does.
        """
        from llama3_tok.torch.scoring import score_all

        arguments.refuse_text(prompts, "prompts")
        arguments.choice(mask, "mask", (None, "assistant"))
        return score_all(self, list(prompts), stride, window, mask, batch_size)

    # How it is done

    def _generate(
        self, prompts: list[list[int]], n: int, return_logprobs: bool, options: Options
    ) -> list[Generation]:
        sampling, make = self._settings(options)
        sequences = [
            make(ids, generator, return_logprobs)
            for ids in prompts
            for generator in generators(sampling, n, self.device)
        ]
        read = [sequence.prompt for sequence in sequences[::n]]
        for _ in run(Reader(self.network, self.tokenizer), read, sequences, sampling):
            pass
        return [sequence.generation() for sequence in sequences]

    def _prompt(self, prompt: Prompt) -> list[int]:
        """The ids of a prompt."""
        if isinstance(prompt, str | bytes):
            return self.tokenizer.encode(prompt, bos=True)
        if isinstance(prompt, list | tuple) and prompt:
            if isinstance(prompt[0], Mapping):
                return self.tokenizer.encode_chat(prompt)
            if isinstance(prompt[0], str | bytes | list | tuple):
                raise TypeError("prompt must be one; several go to generate_batch")
        ids = self.tokenizer.checked_ids(cast(Ids, prompt), "prompt")
        if not ids:
            raise ValueError("prompt must have at least one id, as that of <|begin_of_text|>")
        return ids
