"""The scripts that put faults into the code, themselves: what they draw, and where they put it."""

import argparse
import importlib.util
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
SOURCE = """impl Text {
    /// What `fn other() {}` is not.
    pub fn ends(&self, at: (usize, u8)) -> [u8; 2] {
        self.start + at.0 < 3
    }
    pub const fn empty() -> u8 {
        1 + 1
    }
}
"""


def script(name):
    """A script as a module."""
    if str(SCRIPTS) not in sys.path:  # where its other part is, if it has two
        sys.path.append(str(SCRIPTS))
    found = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # as dataclasses ask for it
    found.loader.exec_module(module)
    return module


def test_the_body_of_a_function_is_found_and_none_of_a_const_one():
    core = script("mutants_core")
    first, last = SOURCE.index("    ///"), SOURCE.index("    pub const")
    start, end = core.body_of(SOURCE, first, last)
    assert SOURCE[start:end].startswith("{\n        self.start")
    assert SOURCE[:end].count("}") - SOURCE[:start].count("}") == 1
    assert core.body_of(SOURCE, last, len(SOURCE)) is None


def test_a_function_has_each_of_its_mutants_and_itself(tmp_path):
    core = script("mutants_core")
    start, end = core.body_of(SOURCE, 0, SOURCE.index("    pub const"))
    end = SOURCE.index("}", start) + 1
    plus, less = SOURCE.index(" + at") + 1, SOURCE.index(" < 3") + 1
    mutants = [
        core.Mutant(4, "merge", "plus", "a.rs", (start, end), plus, plus + 1, "-"),
        core.Mutant(7, "merge", "less", "a.rs", (start, end), less, less + 1, "=="),
    ]
    (tmp_path / "a.rs").write_text(SOURCE)
    places = core.write(tmp_path, mutants, {"a.rs": SOURCE})
    lines = (tmp_path / "a.rs").read_text().splitlines()
    for (first, last, mutant), body in zip(
        places["a.rs"], ["self.start - at.0 < 3", "self.start + at.0 == 3"], strict=True
    ):
        assert f"if crate::mutant::is({mutant.number}) {{" in lines[first - 1]
        assert [line.strip() for line in lines[first - 1 : last - 1] if "self" in line] == [body]
    assert [line.strip() for line in lines if "self.start" in line][-1] == "self.start + at.0 < 3"
    assert lines[-4:] == SOURCE.splitlines()[-4:]


@pytest.mark.parametrize(("reason", "status"), [("", 1), ("the same ids, later", 0)])
def test_a_survivor_counts_unless_a_record_says_why_no_test_can_see_it(tmp_path, reason, status):
    core = script("mutants_core")
    outcomes = ["caught"] * 8 + ["timeout", "unviable", "survived", "survived"]
    mutants = [
        core.Mutant(number, "merge", f"fault {number}", "a.rs", (0, 9), 1, 2, "-", outcome)
        for number, outcome in enumerate(outcomes)
    ]
    known, record = tmp_path / "known.json", tmp_path / "record.json"
    known.write_text(json.dumps({"rooms": {"merge": {"survivors": {"fault 11": reason}}}}))
    arguments = argparse.Namespace(seed=19, reasons=known, json=record)
    assert core.report(["merge"], {"merge": 441}, mutants, arguments) == status
    room = json.loads(record.read_text())["rooms"]["merge"]
    assert room["survivors"] == {"fault 10": "", "fault 11": reason}
    counts = {name: room[name] for name in ("listed", "tried", "caught", "timeout", "unviable")}
    assert counts == {"listed": 441, "tried": 12, "caught": 8, "timeout": 1, "unviable": 1}


@pytest.mark.parametrize(("each", "left"), [(3, 3), (0, 8), (50, 8)])
def test_the_same_seed_draws_the_same_mutants(tmp_path, each, left):
    package = script("mutants_package")
    drawn = []
    for name in ("first", "second"):
        session = tmp_path / name
        with closing(sqlite3.connect(session)) as database, database:
            database.execute("CREATE TABLE work_items (job_id)")
            database.execute(
                "CREATE TABLE mutation_specs (module_path, start_pos_row, start_pos_col, "
                "operator_name, occurrence, job_id)"
            )
            for row in range(10):
                # Ids of jobs are random: what is drawn may not depend on them.
                operator = "core/BitOr_Add" if row < 2 else "core/NumberReplacer"
                job = f"{name}-{row * 7 % 10}"
                database.execute("INSERT INTO work_items VALUES (?)", [job])
                database.execute(
                    "INSERT INTO mutation_specs VALUES ('a.py', ?, 1, ?, 0, ?)",
                    [row, operator, job],
                )
        assert package.draw(session, each, 19) == 8
        with closing(sqlite3.connect(session)) as database:
            rows = [row for (row,) in database.execute("SELECT start_pos_row FROM mutation_specs")]
            assert database.execute("SELECT count(*) FROM work_items").fetchone() == (left,)
        assert len(rows) == left
        assert min(rows) >= 2
        drawn.append(sorted(rows))
    assert drawn[0] == drawn[1]
