"""Annotations can be asked for: `typing.get_type_hints` knows the types of everything public."""

import importlib
import inspect
import pkgutil
import re
import typing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import llama3_tok
from interpreter import run_python
from llama3_tok.chat.assistant import AssistantMessage, AssistantStream
from llama3_tok.folder import AddedToken, Folder
from llama3_tok.text.explaining import Explanation
from llama3_tok.text.padding import Padded

# The command is no interface of Python, and its modules import late what only some verbs need.
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(llama3_tok.__path__, "llama3_tok.")
    if not module.name.startswith("llama3_tok.cli") and not module.name.endswith("__main__")
)
# What the core gives as dictionaries and tuples has types in its stub alone.
STUB = (Path(llama3_tok.__file__).parent / "_core.pyi").read_text(encoding="utf-8")
STUB_ONLY = set(
    re.findall(r"^(?:class )?(Core\w+)(?:\(TypedDict\)|: TypeAlias)", STUB, re.MULTILINE)
)


def public(module):
    """The functions and classes of a module, and the methods and properties of these."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value
        if inspect.isclass(value):
            for attribute, member in vars(value).items():
                member = getattr(member, "fget", None) or getattr(member, "__func__", member)
                is_public = not attribute.startswith("_") or attribute in ("__init__", "__call__")
                if inspect.isfunction(member) and is_public:
                    yield f"{name}.{attribute}", member


@pytest.mark.parametrize("name", ["llama3_tok", *MODULES])
def test_the_types_of_every_public_name_are_known(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:  # an extra that is not installed here
        pytest.skip(str(error))
    unknown = []
    for called, value in public(module):
        try:
            typing.get_type_hints(value)
        except NameError as error:
            unknown += [f"{called}: {error}"] if error.name not in STUB_ONLY else []
        except ModuleNotFoundError as error:  # as above
            unknown += [f"{called}: {error}"] if "llama3_tok" in str(error.name) else []
    assert unknown == []


def test_public_names_are_seen():
    seen = {name for name, _ in public(importlib.import_module("llama3_tok.tokenizer"))}
    assert {"Tokenizer", "Tokenizer.encode", "Tokenizer.bos_id", "Tokenizer.from_bytes"} <= seen
    assert {"CoreChat", "CoreParts", "CoreRoles"} <= STUB_ONLY
    assert not STUB_ONLY & set(dir(llama3_tok._core))


def test_types_are_those_that_a_caller_gets():
    def result(name):
        found = vars(llama3_tok.Tokenizer)[name]
        return typing.get_type_hints(getattr(found, "fget", found))["return"]

    assert result("encode") == list[int]
    assert result("encode_array") == npt.NDArray[np.uint32]
    assert result("encode_chat") == list[int] | tuple[list[int], npt.NDArray[np.uint8]]
    assert result("explain") is Explanation
    assert result("pad") is Padded
    assert result("parse_assistant") is AssistantMessage
    assert result("assistant_stream") is AssistantStream
    assert result("folder") == Folder | None
    assert result("added_tokens") == dict[str, AddedToken]
    given = typing.get_type_hints(llama3_tok.Tokenizer.with_folder)
    assert given["folder"] is Folder


def test_nothing_is_imported_before_a_type_is_asked_for():
    code = """
import sys, typing, llama3_tok
from llama3_tok.lazy import LazyModule, np, torch
print("numpy" in sys.modules, hasattr(np, "__wrapped__"), hasattr(torch, "__file__"))
print("numpy" in sys.modules)
typing.get_type_hints(llama3_tok.Tokenizer.encode_array)
print("numpy" in sys.modules, np.int64(3) + 1)
try:
    LazyModule("no_such_module").name
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_python(code).stdout.split() == ["False"] * 4 + ["True", "4", "no_such_module"]
