"""The part of the class that conversations are encoded by."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama3_tok import _core, hugging_face
from llama3_tok.errors import ChatFormatError
from llama3_tok.extras import need
from llama3_tok.tokenizer import Tokenizer

need("transformers", "transformers")

from transformers import (  # noqa: E402 - whether it is there was asked first
    AddedToken,
    BatchEncoding,
    PreTrainedTokenizer,
)
from transformers.utils import PaddingStrategy  # noqa: E402

from llama3_tok.compat.transformers import added as _added  # noqa: E402
from llama3_tok.compat.transformers import given as _given  # noqa: E402

if TYPE_CHECKING:
    from llama3_tok.chat_template import Marked

__all__ = ["Conversations"]


class Conversations(PreTrainedTokenizer):  # type: ignore[misc] # it is untyped
    """`apply_chat_template`, for `Llama3Tokenizer`, which has the tokenizer as `llama3`."""

    llama3: Tokenizer
    profile: str

    def _begin_conversations(self, vocabulary: str | os.PathLike[str] | None) -> None:
        """Begins anew, with the tokens that there are now."""
        self._vocabulary = vocabulary
        self._other: Tokenizer | None = None
        self._marked_finder: tuple[tuple[tuple[str, str], ...], _added.Finder] | None = None

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        tools: list[Any] | None = None,
        documents: list[dict[str, str]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        sanitize_control_tokens: bool = False,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Any = None,  # noqa: ANN401
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - as the base class has it
        """The ids or the text of a conversation, or of a batch of them.

        Parameters are those of transformers; what a template takes besides is given to it. Text in
        a message, a tool, a document or another argument never makes a special token, whatever
        `sanitize_control_tokens` says; with `tokenize=False` the text that comes back can't keep
        that difference. Tokens that were added and are not special, as `<think>`, are found in
        text as everywhere.

        A published template, or one that `Tokenizer.save` wrote, is rendered by the core, and its
        ids are those of `Tokenizer.encode_chat`. Any other, given here or set, is run as
        `llama3_tok.chat_template` describes.

        `return_assistant_tokens_mask` gives `assistant_masks`, 1 for what the assistant writes and
        its end; with a template that the core does not know, for what stands in its
        `{% generation %}` blocks.

        Raises ChatFormatError for what the format can't hold, for a template that refuses the
        conversation or can't be run, where text can't be told from special tokens, and if masks
        are asked for and the template does not say what they are.
        """
        if add_generation_prompt and continue_final_message:
            raise ValueError(
                "add_generation_prompt and continue_final_message can't both be: the last message "
                "is either followed by an answer or goes on itself"
            )
        if return_assistant_tokens_mask and not (tokenize and return_dict):
            raise ValueError(
                "return_assistant_tokens_mask needs tokenize=True and return_dict=True"
            )
        tools = _given.described(tools)
        template = self.get_chat_template(chat_template, tools)
        known = None if self._has_more() else self._known(template)
        if isinstance(continue_final_message, str) and continue_final_message != "content":
            known = None
        batch, conversations = _given.conversations(conversation)
        encoded: list[tuple[list[int], list[int]]]
        if known is None:
            goes_on = continue_final_message
            variables = {
                "tools": tools,
                "documents": documents,
                "add_generation_prompt": add_generation_prompt,
                **kwargs,
            }
            field = goes_on if isinstance(goes_on, str) else "content" if goes_on else None
            rendered = [
                self._rendered(template, messages, field, variables) for messages in conversations
            ]
            if not tokenize:
                texts = [one.text for one in rendered]
                return texts if batch else texts[0]
            if return_assistant_tokens_mask:
                for one, messages in zip(rendered, conversations, strict=True):
                    _check_mask(one, messages)
            encoded = [self._of_rendered(one, return_assistant_tokens_mask) for one in rendered]
        else:
            options: dict[str, Any] = {
                "tools": _given.described(kwargs.get("custom_tools", tools)),
                "builtin_tools": kwargs.get("builtin_tools"),
                "tools_in": "user" if kwargs.get("tools_in_user_message", True) else "system",
                # The template of the first release has no place for a date.
                "date": kwargs.get("date_string") if known.profile != "llama3" else None,
                "add_generation_prompt": add_generation_prompt,
                "continue_final_message": bool(continue_final_message),
            }
            if not tokenize:
                texts = [known.render_chat(messages, **options) for messages in conversations]
                return texts if batch else texts[0]
            encoded = []
            for messages in conversations:
                ids, mask = known.encode_chat(messages, return_mask=True, **options)
                encoded.append((ids, mask.tolist()))
        out = self(
            [ids for ids, _ in encoded] if batch or return_tensors else encoded[0][0],
            add_special_tokens=False,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
            **{"return_attention_mask": return_assistant_tokens_mask or None}
            | (tokenizer_kwargs or {}),
        )
        if not return_dict:
            return out["input_ids"]
        if return_assistant_tokens_mask:
            masks = self._fitted([mask for _, mask in encoded], out)
            out["assistant_masks"] = masks if batch or return_tensors else masks[0]
            if return_tensors:
                out.convert_to_tensors(tensor_type=return_tensors)
        return out

    def _known(self, template: str) -> Tokenizer | None:
        """The tokenizer whose conversations are those of a template, if it is a known one."""
        profile = hugging_face.profile_of_template(template)
        if profile is None or profile == self.profile:
            return self.llama3 if profile else None
        if _core.special_names(profile) != _core.special_names(self.profile):
            return None
        if self._other is None or self._other.profile != profile:
            self._other = Tokenizer(self._vocabulary, profile=profile)
        return self._other

    def _rendered(
        self,
        template: str,
        messages: list[Any],
        continue_in: str | None,
        variables: Mapping[str, Any],
    ) -> "Marked":
        from llama3_tok import chat_template

        added = self._added_tokens_decoder.values()
        return chat_template.render(
            template,
            messages,
            [token.content for token in added if token.special],
            tokens=self.special_tokens_map,
            continue_in=continue_in,
            **variables,
        )

    def _of_rendered(self, rendered: "Marked", with_mask: bool) -> tuple[list[int], list[int]]:
        """The ids of a rendered conversation, and which of them the assistant writes."""
        finder = self._finder_of(rendered.marks)
        text, places = rendered.marked, finder.places(rendered.marked)
        if not with_mask:
            texts = [text[start:end] for start, end, id in places if id is None]
            encoded = iter(self.llama3.encode_batch(texts))
            return [
                id for *_, known in places for id in (next(encoded) if known is None else (known,))
            ], []
        ids: list[int] = []
        mask: list[int] = []
        for start, end, known in places:
            spans = [(start, end)]
            if known is None:
                encoding = self.llama3.encode_with_offsets(text[start:end])
                spans = [(start + a, start + b) for a, b in encoding.char_spans.tolist()]
                ids += encoding.ids.tolist()
            else:
                ids.append(known)
            mask += [
                int(any(a < span.end and span.start < b for span in rendered.generated))
                for a, b in spans
            ]
        return ids, mask

    def _finder_of(self, marks: Mapping[str, str]) -> "_added.Finder":
        """Finds the added tokens in a rendered text, where special ones are their marks."""
        names = tuple(marks.items())
        if self._marked_finder is None or self._marked_finder[0] != names:
            mark_of = {name: mark for mark, name in names}
            added = {}
            for id, token in self._added_tokens_decoder.items():
                state = token.__getstate__()
                if token.special:
                    # A mark is none of what a normalizer would change.
                    state |= {"content": mark_of[token.content], "normalized": False}
                added[id] = AddedToken(**state)
            self._marked_finder = names, _added.Finder(added)
        return self._marked_finder[1]

    def _fitted(self, masks: list[list[int]], out: BatchEncoding) -> list[list[int]]:
        """The masks, cut and padded as the ids were."""
        attention = out["attention_mask"]
        rows = [attention] if len(masks) == 1 and isinstance(attention[0], int) else attention
        fitted = []
        for mask, row in zip(masks, rows, strict=True):
            row = [int(one) for one in row]
            kept = sum(row)
            cut = mask[len(mask) - kept :] if self.truncation_side == "left" else mask[:kept]
            values = iter(cut)
            fitted.append([next(values) if one else 0 for one in row])
        return fitted


def _check_mask(rendered: "Marked", messages: Sequence[Mapping[str, Any]]) -> None:
    """A mask of nothing but zeros is not given for a conversation in which the assistant writes."""
    if not rendered.tells_generated:
        raise ChatFormatError(
            "this chat template does not say which tokens the assistant writes: it has no "
            "{% generation %} block, so masks are not known for it"
        )
    if not rendered.generated and any(one.get("role") == "assistant" for one in messages):
        raise ChatFormatError(
            "this chat template has a {% generation %} block and does not come to it in this "
            "conversation, in which the assistant writes, so its mask is not known"
        )
