"""Running a chat template: in the sandbox of Jinja, within limits.

A template comes from whoever made the model's folder. It can't reach Python's objects, and neither
its loops nor its strings grow beyond what a conversation needs: rounds are counted, what a sum, a
product, a filter or a method is about to make is measured before it is made, and time ends.
"""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from llama3_tok.chat.template.limits import (
    Limits,
    allow,
    allow_arguments,
    allow_filled,
    allow_replacing,
    checked,
    current,
    joinable,
    limited,
    longest_text,
    size_of,
)
from llama3_tok.chat.template.names import longest
from llama3_tok.errors import ChatFormatError
from llama3_tok.extras import require

require("jinja2", "transformers")

import jinja2  # noqa: E402 - whether it is there was asked first
import jinja2.ext  # noqa: E402
import jinja2.filters  # noqa: E402
import jinja2.optimizer  # noqa: E402
import jinja2.sandbox  # noqa: E402
from jinja2 import nodes  # noqa: E402

__all__ = ["run", "tells_generated"]

_MESSAGE = 500
"""Characters of somebody else's message that are repeated."""


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The sandbox of transformers, in which nothing grows beyond the limits."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        if operator == "+":
            allow(size_of(left) + size_of(right))
        elif operator == "*":
            if isinstance(left, int) and isinstance(right, int):
                allow(left.bit_length() + right.bit_length())
            else:
                count = right if isinstance(right, int) else left
                whole = left if isinstance(right, int) else right
                allow(size_of(whole) * max(count, 0) if isinstance(count, int) else 1)
        elif operator == "**":
            if isinstance(left, int) and isinstance(right, int):
                allow(left.bit_length() * max(right, 0))
        elif isinstance(left, str):
            values = right if isinstance(right, tuple) else (right,)
            allow_arguments(values if "*" in left else ())
            allow_filled(left, "%", values)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        # The sandbox wraps methods that format.
        method = getattr(__obj, "__wrapped__", __obj)
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            allow_arguments((*args, *kwargs.values()))
            if name == "join" and args:
                args = (joinable(args[0], owner), *args[1:])
            elif name == "replace":
                allow_replacing(owner, args, kwargs)
            elif name in ("format", "format_map"):
                allow_filled(owner, "{", (*args, *kwargs.values()))
            elif name == "translate" and args and isinstance(args[0], dict):
                allow(len(owner) * (1 + longest_text(args[0].values())))
            elif name == "expandtabs":
                widths = [one for one in (*args, *kwargs.values()) if isinstance(one, int)]
                allow(len(owner) + owner.count("\t") * max(widths, default=8))
        result = super().call(__context, __obj, *args, **kwargs)
        allow(size_of(result))
        return result


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, and the count of rounds.

    What the assistant writes stands between two marks.
    """

    tags = {"generation"}  # noqa: RUF012 - as the base class has it
    blocks = ""

    def parse(self, parser: Any) -> nodes.Node:  # noqa: ANN401 - untyped in Jinja
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        marks = cast(str, self.environment.blocks_of_generation)  # type: ignore[attr-defined]
        if marks:
            begin, end = ([nodes.Output([nodes.TemplateData(mark)])] for mark in marks)
            body = [*begin, *body, *end]
        return nodes.Scope(body).set_lineno(line)

    def tick(self) -> nodes.ExprStmt:
        return nodes.ExprStmt(self.call_method("count_round"))

    def count_round(self) -> str:
        limits = current.get()
        return limits.tick() if limits is not None else ""


class _Namespace(jinja2.utils.Namespace):
    """A namespace that can't be given names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - `self` may be a name in it
        made = dict(*args[1:], **kwargs)
        for name in made:
            _check_name(name)
        jinja2.utils.Namespace.__init__(args[0], made)

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:  # noqa: ANN401
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace can't have the name {name!r}")


def _raise_exception(message: Any) -> None:  # noqa: ANN401
    raise jinja2.TemplateError(str(message))


def _to_json(
    value: Any,  # noqa: ANN401
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


_now: ContextVar[datetime | None] = ContextVar("now", default=None)


def _strftime_now(format: str) -> str:
    return (_now.get() or datetime.now()).strftime(format)


def _environment(blocks: str) -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, jinja2.ext.loopcontrols],
        cache_size=0,
        finalize=checked,
    )
    environment.extend(blocks_of_generation=blocks)
    environment.filters["tojson"] = _to_json
    for name, filter in environment.filters.items():
        environment.filters[name] = limited(name, filter)
    # A text of random words, of any length, which no conversation has.
    del environment.globals["lipsum"]
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": lambda *args, **kwargs: dict(*args, **kwargs),
        "namespace": _Namespace,
    }
    return environment


@lru_cache(maxsize=32)
def _compiled(template: str, marks: tuple[tuple[str, str], ...], blocks: str) -> jinja2.Template:
    """The template with marks for names in what it says itself, and with rounds counted."""
    environment = _environment(blocks)
    # What is computed from constants is a constant, too: names in two pieces come together.
    tree = jinja2.optimizer.optimize(environment.parse(template), environment)
    of_names = {name: mark for mark, name in marks}
    names = longest(of_names) if of_names else None

    def marked(text: Any) -> Any:  # noqa: ANN401 - a constant of any type
        if names is None:
            return text
        if isinstance(text, dict):
            return {marked(key): marked(value) for key, value in text.items()}
        if isinstance(text, list | tuple):
            return type(text)(map(marked, text))
        if not isinstance(text, str):
            return text
        return names.sub(lambda found: of_names[found[0]], text)

    for data in tree.find_all(nodes.TemplateData):
        data.data = marked(data.data)
    for constant in tree.find_all(nodes.Const):
        constant.value = marked(constant.value)
    extension = environment.extensions[_Generation.identifier]
    for loop in tree.find_all(nodes.For):
        loop.body.insert(0, extension.tick())  # type: ignore[attr-defined]
    for macro in tree.find_all(nodes.Macro):
        macro.body.insert(0, extension.tick())  # type: ignore[attr-defined]
    _join_checked(tree)
    code = environment.compile(cast(nodes.Template, tree), "<template>", "<template>")
    return jinja2.Template.from_code(environment, code, environment.make_globals(None))


def _join_checked(tree: nodes.Node) -> None:
    """Makes `a ~ b` what the sandbox looks at: a sum of strings."""
    for parent in tree.find_all(nodes.Node):
        for field, value in parent.iter_fields():
            if isinstance(value, list):
                setattr(parent, field, [_sum(one) for one in value])
            else:
                setattr(parent, field, _sum(value))


def _sum(node: Any) -> Any:  # noqa: ANN401 - a node, or what a node has besides
    if not isinstance(node, nodes.Concat):
        return node
    texts = [
        one
        if isinstance(one, nodes.Const) and isinstance(one.value, str)
        else nodes.Filter(one, "string", [], [], None, None, lineno=node.lineno)
        for one in node.nodes
    ]
    made: nodes.Expr = texts[0]
    for one in texts[1:]:
        made = nodes.Add(made, one, lineno=node.lineno)
    return made


@lru_cache(maxsize=32)
def tells_generated(template: str) -> bool:
    """Whether a template has a `{% generation %}` block."""
    marks = ("\U000f0000", "\U000f0001")
    tree = _environment("".join(marks)).parse(template)
    return any(node.data == marks[0] for node in tree.find_all(nodes.TemplateData))


def run(
    template: str,
    marks: tuple[tuple[str, str], ...],
    blocks: str,
    variables: Mapping[str, Any],
    size: int,
    now: datetime,
) -> str:
    """What a template renders.

    `marks` are (mark, name) for the names in its own words, `blocks` the two marks of what the
    assistant writes, `size` the characters that it is given.

    Raises ChatFormatError for whatever goes wrong in it.
    """
    limits = Limits(size)
    before = current.set(None), _now.set(now)
    try:
        compiled = _compiled(template, marks, blocks)
        current.set(limits)
        parts, length = [], 0
        for part in compiled.generate(variables):
            length += len(part)
            limits.allow(length)
            parts.append(part)
        return "".join(parts)
    except ChatFormatError:
        raise
    except jinja2.TemplateSyntaxError as error:
        raise ChatFormatError(
            f"line {error.lineno} of the chat template: {_short(error.message)}"
        ) from None
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        NameError,  # a number that is infinite is the name `inf` in what Jinja makes
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        line = _line_of(error)
        where = f"line {line} of the chat template" if line else "the chat template"
        raise ChatFormatError(f"{where}: {_short(str(error) or type(error).__name__)}") from None
    finally:
        current.reset(before[0])
        _now.reset(before[1])


def _line_of(error: BaseException) -> int | None:
    """The template's line that an error came from, as Jinja writes it into the traceback."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _short(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _MESSAGE else text[:_MESSAGE] + "..."
