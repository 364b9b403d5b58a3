"""Packages that only some parts need, imported when they are: the extras of the installation."""

from importlib import import_module
from types import ModuleType

from llama3_tok.errors import MissingExtra

__all__ = ["require"]


def require(package: str, extra: str) -> ModuleType:
    """Imports a package that the extra `extra` installs.

    Raises MissingExtra, which names the command that installs it, if the package is not there; an
    error inside a package that is there stays what it is.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise MissingExtra(package, extra) from None
