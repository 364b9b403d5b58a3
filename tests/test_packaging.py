"""What is published, and how: workflows, licences, versions."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path):
    # YAML takes the key `on` for true.
    return yaml.safe_load(path.read_text())


@workflows
def test_steps_of_others_are_pinned_by_hash_and_say_their_version(path):
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for step in used:
        assert step.startswith("./.github/workflows/") or re.fullmatch(
            r"[\w-]+(/[\w-]+)+@[0-9a-f]{40} # v\d+(\.\d+\.\d+)?", step
        ), step


def test_one_action_has_one_version():
    used = {}
    for path in WORKFLOWS:
        for name, version in re.findall(r"uses: ([\w/-]+)@(.*)", path.read_text()):
            used.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in used.items() if len(versions) > 1} == {}


@workflows
def test_a_job_may_do_what_it_says_and_ends(path):
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert "concurrency" in workflow
    for name, job in workflow["jobs"].items():
        permissions = job["permissions"]
        assert permissions.pop("contents", "read") == "read", name
        # Only what publishes may say who it is, and fuzzing goes on from earlier runs.
        fuzzes = path.stem == "fuzz" and permissions == {"actions": "read"}
        assert permissions == {} or fuzzes or path.stem in ("docs", "release"), name
        assert "uses" in job or job["timeout-minutes"] <= 180, name


def test_every_python_that_is_allowed_is_tested():
    matrix = read(ROOT / ".github/workflows/tests.yml")["jobs"]["python"]["strategy"]["matrix"]
    first = tuple(map(int, matrix["python"][0].split(".")))
    assert PROJECT["requires-python"] == f">={first[0]}.{first[1]}"
    assert matrix["python"] == [f"3.{minor}" for minor in range(first[1], 15)]


def test_the_workflows_are_sound():
    """zizmor looks for what can be abused, and a schema at the form."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    folder = Path(sys.executable).parent
    if not (folder / "zizmor").exists():
        pytest.skip("zizmor is not installed")
    done = subprocess.run(
        [ROOT / "scripts" / "workflows.sh"],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_licences_are_those_of_the_crates_that_are_linked():
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    versions = {(package["name"], package["version"]) for package in locked}
    page = (ROOT / "THIRD-PARTY.md").read_text()
    rows = set(re.findall(r"^\| ([\w-]+) \| (\d\S*) \|", page, re.MULTILINE))
    assert len(rows) > 40
    assert rows <= versions
    assert {"pyo3", "numpy", "zstd-sys", "windows-sys"} <= {name for name, _ in rows}
    assert "Without a text" not in page


def test_the_page_of_licences_is_as_it_would_be_written():
    if not shutil.which("cargo"):
        pytest.skip("cargo is not installed")
    command = [sys.executable, ROOT / "scripts" / "third_party.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == CARGO["version"]
    assert f"\n## {CARGO['version']} (" in (ROOT / "CHANGELOG.md").read_text()
    assert (citation["license"], PROJECT["license"]) == (CARGO["license"],) * 2


def test_the_crate_is_the_core_alone():
    if not shutil.which("cargo"):
        pytest.skip("cargo is not installed")
    command = ["cargo", "package", "--list", "--allow-dirty", "--offline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.split()
    assert {"rust/lib.rs", "rust/README.md", "rust/meta_splits.bin", "LICENSE"} <= set(listed)
    assert [path for path in listed if path.endswith((".py", ".pyi", ".yml", ".html"))] == []
