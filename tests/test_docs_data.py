"""The guide to training data: the examples of a section are run where its library is installed."""

import doctest
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "data.md"
SECTIONS = re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
TITLES = [section.partition("\n")[0] for section in SECTIONS]
# The package that an example needs, by its section's title.
PACKAGES = {
    "Arrow": "pyarrow",
    "Polars": "polars",
    "DuckDB": "duckdb",
    "pandas": "pandas",
    "datasets": "datasets",
    "Ray": "ray",
    "Spark": "pyspark",
}


def test_each_section_is_known():
    assert set(TITLES) >= set(PACKAGES)


@pytest.mark.filterwarnings(
    r"ignore::DeprecationWarning:ray\.data\.",
    r"ignore::UserWarning:ray\.data\.",
    "ignore:PySpark does not yet fully support pandas",
    "ignore::ResourceWarning",
)
@pytest.mark.parametrize("title", PACKAGES)
def test_the_examples_give_what_they_show(title, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")
    pytest.importorskip(PACKAGES[title], reason=f"{PACKAGES[title]} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    if title == "Spark":
        if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
            pytest.skip("Spark needs Java, which is not installed")
        monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
        monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    if title == "Ray":
        ray = pytest.importorskip("ray")
        monkeypatch.setenv(
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
        )  # of which Ray warns otherwise
        ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        names = run(SECTIONS[0], {}) if title not in ("Arrow", "Ray", "Spark") else {}
        run(SECTIONS[TITLES.index(title)], names)
    finally:
        if title == "Ray":
            ray.shutdown()
        if title == "Spark":
            from pyspark.sql import SparkSession

            SparkSession.builder.getOrCreate().stop()


def run(text, names):
    """Runs the examples of a section; gives the names that they made."""
    test = doctest.DocTestParser().get_doctest(text, dict(names), GUIDE.name, str(GUIDE), 0)
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
    assert result.attempted > 0
    assert result.failed == 0
    return test.globs
