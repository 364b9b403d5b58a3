"""The part of the class that conversations are encoded by."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama3_tok.chat import own
from llama3_tok.extras import require
from llama3_tok.folder import usual
from llama3_tok.profiles import find
from llama3_tok.tokenizer import Tokenizer

require("transformers", "transformers")

from transformers import (  # noqa: E402 - whether it is there was asked first
    BatchEncoding,
    PreTrainedTokenizer,
)
from transformers.utils import PaddingStrategy  # noqa: E402

from llama3_tok.compat.transformers import given as _given  # noqa: E402

if TYPE_CHECKING:
    from llama3_tok.chat.template import Marked

__all__ = ["Conversations"]


class Conversations(PreTrainedTokenizer):  # type: ignore[misc] # it is untyped
    """`apply_chat_template`, for `Llama3Tokenizer`, which has the tokenizer as `llama3`."""

    llama3: Tokenizer
    profile: str

    _of_template: dict[str, Tokenizer | None]

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
        `llama3_tok.chat.template` describes.

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
        known = self._known(template)
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
                    own.check_mask(one, messages)
            encoded = [self._of_rendered(one, return_assistant_tokens_mask) for one in rendered]
        else:
            options: dict[str, Any] = {
                "tools": _given.described(kwargs.get("custom_tools", tools)),
                "builtin_tools": kwargs.get("builtin_tools"),
                "tools_in": "user" if kwargs.get("tools_in_user_message", True) else "system",
                # The template of the first release has no place for a date.
                "date": kwargs.get("date_string") if _has_dates(known) else None,
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
        """The tokenizer that writes the conversations of a template, if the core knows it."""
        if template not in self._of_template:
            known = self._with(templates=(("default", template),))
            self._of_template[template] = known if known.chat_profile is not None else None
        return self._of_template[template]

    def _with(self, **changes: Any) -> Tokenizer:  # noqa: ANN401 - of a Folder
        """The tokenizer as another folder would have it."""
        llama3 = self.llama3
        base = llama3.folder or usual(llama3.profile, llama3.rank_count)
        return llama3.with_folder(base._replace(**changes))

    def _rendered(
        self,
        template: str,
        messages: list[Any],
        continue_in: str | None,
        variables: Mapping[str, Any],
    ) -> "Marked":
        from llama3_tok.chat import template as chat_template

        return chat_template.render(
            template,
            messages,
            self.llama3.special_tokens,
            tokens=self.special_tokens_map,
            continue_in=continue_in,
            **variables,
        )

    def _of_rendered(self, rendered: "Marked", with_mask: bool) -> tuple[list[int], list[int]]:
        """The ids of a rendered conversation, and which of them the assistant writes."""
        if not with_mask:
            return own.ids(self.llama3.definition, rendered), []
        ids, mask = own.ids_and_mask(self.llama3.definition, rendered)
        return ids.tolist(), mask.tolist()

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


def _has_dates(known: Tokenizer) -> bool:
    release = known.chat_profile
    return release is not None and find(release).template.tools
