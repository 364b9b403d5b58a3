"""`Tokenizer.fit_chat`: a conversation less its oldest turns."""

from collections.abc import Callable
from typing import NamedTuple

from llama3_tok import arguments
from llama3_tok.chat.messages import Message
from llama3_tok.errors import ChatFormatError

__all__ = ["FittedChat", "fit"]


class FittedChat(NamedTuple):
    """What `Tokenizer.fit_chat` kept of a conversation.

    `messages` are those that were kept, `dropped` the indices of the others in the list that was
    given, ascending, and `tokens` how many ids `encode_chat(messages, ...)` has.
    """

    messages: list[Message]
    dropped: list[int]
    tokens: int


def fit(
    given: list[Message],
    max_tokens: int,
    answer_tokens: int,
    size: Callable[[list[Message]], int],
    ends: Callable[[], list[int]] | None,
) -> FittedChat:
    """`Tokenizer.fit_chat`. `size` counts the ids of messages.

    `ends` gives how many ids there are before the first message and up to the end of each, so that
    what is kept is found at once; without it, it is searched for.
    """
    most = arguments.count(max_tokens, "max_tokens", 0)
    room = most - arguments.count(answer_tokens, "answer_tokens", 0)
    if room < 0:
        raise ValueError(f"answer_tokens is {answer_tokens}, more than max_tokens, {max_tokens}")
    tokens = size(given)
    if tokens <= room:
        return FittedChat(given, [], tokens)
    if not given:
        raise ChatFormatError(
            f"no messages have {tokens} tokens, and there is room for {room}", None, "max_tokens"
        )
    turns = _turns(given)
    if turns[0] == len(given):
        reason = f"the system messages have {tokens} tokens, and there is room for {room}"
        raise ChatFormatError(reason, None, "max_tokens")
    excess = tokens - room

    def left(first: int) -> FittedChat:
        messages = given[: turns[0]] + given[turns[first] :]
        return FittedChat(messages, list(range(turns[0], turns[first])), size(messages))

    def begins(first: int) -> bool:
        """Whether the format takes a turn as the first that is kept."""
        try:
            size([*given[: turns[0]], given[turns[first]]])
        except ChatFormatError:
            return False
        return True

    last = len(turns) - 1
    estimate = 0
    if ends is not None:
        at = ends()
        estimate = next(
            (turn for turn in range(last) if at[turns[turn]] - at[turns[0]] >= excess), last
        )
        try:
            fitted = left(estimate)
            if fitted.tokens <= room:
                return fitted
        except ChatFormatError:
            pass
    # What is left is what the sums say, but in a vision model: without its last image a
    # conversation begins with the dates, and a message that the tools join loses white space, or
    # can't be joined for its image.
    turns_left = [turn for turn in range(estimate, last + 1) if begins(turn)]
    if not turns_left:
        reason = "the last turn can't be kept without those before: tools can't go into its message"
        raise ChatFormatError(reason, turns[last], "content")
    fitted = left(turns_left[-1])
    if fitted.tokens > room:
        reason = (
            f"the system messages and the last turn have {fitted.tokens} tokens, and there is room "
            f"for {room}"
        )
        raise ChatFormatError(reason, None, "max_tokens")
    low, high = -1, len(turns_left) - 1
    while high - low > 1:
        middle = left(turns_left[(low + high) // 2])
        if middle.tokens <= room:
            high, fitted = (low + high) // 2, middle
        else:
            low = (low + high) // 2
    return fitted


def _turns(messages: list[Message]) -> list[int]:
    """Where turns begin: after the leading system messages, and at each user's message."""
    roles = [message.get("role") for message in messages]
    start = next((index for index, role in enumerate(roles) if role != "system"), len(roles))
    later = (index for index in range(start + 1, len(roles)) if roles[index] == "user")
    return [start, *later]
