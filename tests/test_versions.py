"""Which versions `make lowest` installs: those of pyproject.toml, and sets of them that fit."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project():
    place = ROOT / "scripts" / "with_versions.py"
    specification = importlib.util.spec_from_file_location("with_versions", place)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.Project(ROOT / "pyproject.toml")


def bounds(dependencies):
    found = {one.name: one.version for one in dependencies}
    assert len(found) == len(dependencies)
    return found


def test_all_have_the_lowest_that_every_extra_allows(project):
    lowest = bounds(project.everything())
    of_any = [project.core, *project.extras.values()]
    assert lowest["numpy"] == max(
        one.version for own in of_any for one in own if one.name == "numpy"
    )
    assert {"torch", "pytest", "rich", "trl"} <= set(lowest)


def test_the_cores_lowest_come_without_what_needs_more_than_these(project):
    lowest, core = bounds(project.with_core()), bounds(project.core)
    assert {name: lowest[name] for name in core} == core
    assert {"pytest", "pyarrow", "ray", "transformers"} <= set(lowest)
    # Those want a newer NumPy, which their own files say and pyproject.toml does not.
    assert not {"torch", "py3langid", "trl", "xgrammar"} & set(lowest)
