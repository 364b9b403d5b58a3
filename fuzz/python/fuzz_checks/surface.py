"""Any call of anything public of a tokenizer: a result, or an exception that is documented."""

import contextlib
import warnings
from functools import cache
from typing import Any

import wrong_calls
from fuzz_checks.given import Given
from fuzz_checks.small import place, tokenizer

# A number that is below it, and no less than this, may be the length of a batch: gigabytes.
_TOO_LONG = 1 << 41
_LONG = 1 << 22


class _Choices(Given):
    """Of the values of calls, some are made of the input."""

    def choice(self, items: Any) -> Any:  # noqa: ANN401 - as wide as what it stands for
        chosen = self._any(items)
        is_length = type(chosen) is int and _LONG <= chosen < _TOO_LONG
        return chosen % _LONG if is_length else chosen

    def _any(self, items: Any) -> Any:  # noqa: ANN401
        if items is not wrong_calls.ODD:
            return super().choice(items)
        match self.number(8):
            case 0:
                return self.text()
            case 1:
                return self.bytes()
            case 2:
                return self.several(lambda: self.number(600), 20)
            case 3:
                return self.value(["role", "user", "content", "hello", "<|eot_id|>", "all"])
        return super().choice(items)


@cache
def _targets() -> tuple[dict[str, Any], dict[str, list[str]]]:
    # The module's functions use the vocabulary of the machine.
    made = {
        name: target
        for name, target in wrong_calls.targets(tokenizer()).items()
        if not name.startswith("llama3_tok.")
    }
    return made, {name: wrong_calls.names_of(target) for name, target in made.items()}


def check(data: bytes) -> None:
    """The input chooses some calls, one after the other."""
    given, (made, known) = _Choices(data), _targets()
    with warnings.catch_warnings(), contextlib.chdir(place()):
        warnings.simplefilter("ignore")
        for _ in range(8):
            if given.is_empty:
                break
            name = given.choice(list(made))
            wrong_calls.call(given, name, made[name], known[name])


def seeds() -> dict[str, bytes]:
    """What chooses each of the first calls."""
    return {
        f"{number}": bytes((number, 2, 0, 4 + number % 60, 1)) * 3 for number in range(0, 60, 4)
    }
