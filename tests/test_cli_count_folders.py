"""`llama3-tok count` of texts and folders: groups, trees, lists, budgets, what is left out."""

import gzip
import json
import subprocess
import sys

import pytest

from cli import count_of, fails, objects, on_terminal, output, run
from counted import OTHER, TEXT, jsonl
from llama3_tok.cli.count_languages import language_of
from packed import zstd


@pytest.fixture
def tree(tmp_path):
    files = {
        "src/one.py": TEXT,
        "src/two.PY": OTHER,
        "src/deep/three.rs": OTHER * 3,
        "docs/Makefile": OTHER,
        "docs/data.jsonl.gz": TEXT,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return tmp_path


A, B = count_of(TEXT), count_of(OTHER)


def table(printed):
    """The last column to the numbers before it."""
    lines = [line.split() for line in printed.decode().splitlines()]
    return {" ".join(words[2:]): (int(words[0]), int(words[1])) for words in lines}


# Texts


def test_a_text_is_counted():
    assert output("count", "-t", TEXT) == b"%d\n" % A
    assert output("count", "--bos", "-t", TEXT) == b"%d\n" % (A + 1)


def test_texts_and_files_have_a_line_each(tree):
    printed = output("count", "-t", "a\nb", "-t", OTHER.strip(), "src/one.py", cwd=tree).decode()
    lines = [line.split(maxsplit=1) for line in printed.splitlines()]
    assert [name for _, name in lines] == ['"a\\nb"', f'"{OTHER.strip()}"', "src/one.py", "total"]
    assert int(lines[3][0]) == sum(int(count) for count, _ in lines[:3])
    first, second, total = objects(output("count", "--json", "-t", "x", "src/one.py", cwd=tree))
    assert (first["text"], first["tokens"], second["path"]) == ("x", 1, "src/one.py")
    assert total["total_tokens"] == A + 1


def test_what_is_no_file_may_be_a_text(tmp_path):
    for text in ("Hello world", "x" * 5000, "a/b"):
        message = fails("count", text, cwd=tmp_path)
        assert message.endswith("; to count a text, give -t TEXT\n")
    assert "-t counts texts" in fails("count", "-t", "x", "--field", "y")


def test_a_text_that_is_the_name_of_a_file_is_encoded_with_a_note(tree):
    for verb in ("encode", "show"):
        done = run(verb, "src/one.py", cwd=tree)
        assert (done.returncode, done.stdout) == (0, output(verb, "src/one.py"))
        assert done.stderr == (
            b"llama3-tok: note: src/one.py is taken as the text, though there is a file of that "
            b"name; -f reads it\n"
        )
    assert output("encode", "src", cwd=tree) == output("encode", "src")


# Groups and trees


def test_groups_have_their_sums_and_files(tree):
    total = {"total": (2 * A + 5 * B, 5)}
    assert table(output("count", "--by", "extension", ".", cwd=tree)) == total | {
        "(none)": (B, 1),
        ".jsonl": (A, 1),
        ".py": (A + B, 2),
        ".rs": (3 * B, 1),
    }
    assert output("count", "--summary", ".", cwd=tree) == output(
        "count", "--by", "extension", ".", cwd=tree
    )
    assert table(output("count", "--by", "language", ".", cwd=tree)) == total | {
        "JSON Lines": (A, 1),
        "Makefile": (B, 1),
        "Python": (A + B, 2),
        "Rust": (3 * B, 1),
    }
    assert table(output("count", "--by", "directory", "src", "docs", cwd=tree)) == total | {
        "docs": (A + B, 2),
        "src": (A + B, 2),
        "src/deep": (3 * B, 1),
    }


def test_groups_in_json_add_up(tree):
    *groups, total = objects(output("count", "--by", "language", "--json", ".", cwd=tree))
    assert [group["language"] for group in groups] == ["JSON Lines", "Makefile", "Python", "Rust"]
    assert sum(group["tokens"] for group in groups) == total["total_tokens"] == 2 * A + 5 * B
    assert total["skipped_files"] == {"binary": 0, "utf-16": 0, "unreadable": 0}


def test_rows_are_sorted_and_cut_and_the_total_is_of_all(tree):
    def names(*options):
        printed = output("count", *options, ".", cwd=tree).decode()
        return [line.split()[-1] for line in printed.splitlines()]

    largest = "./docs/data.jsonl.gz", "./src/one.py", "./src/deep/three.rs"
    expected = sorted(largest, key=lambda path: -(3 * B if "three" in path else A))
    assert names("--sort", "tokens")[:3] == expected
    assert names("--top", "2") == [*expected[:2], "total"]
    assert names("--sort", "path")[:-1] == sorted(names()[:-1])
    total = output("count", "--top", "1", ".", cwd=tree).decode().splitlines()[-1]
    assert total.split() == [str(2 * A + 5 * B), "total"]
    assert "at least one" in fails("count", "--top", "0", ".", cwd=tree)


def test_a_tree_has_the_tokens_of_folders(tree):
    printed = output("count", "--tree", "src", "docs", cwd=tree).decode()
    assert printed == (
        f"├── docs/ ({A + B} tokens)\n"
        f"│   ├── Makefile ({B} tokens)\n"
        f"│   └── data.jsonl.gz ({A} tokens)\n"
        f"└── src/ ({A + 4 * B} tokens)\n"
        f"    ├── deep/ ({3 * B} tokens)\n"
        f"    │   └── three.rs ({3 * B} tokens)\n"
        f"    ├── one.py ({A} tokens)\n"
        f"    └── two.PY ({B} tokens)\n"
        f"{2 * A + 5 * B} tokens in 5 files\n"
    )
    first = output("count", "--tree", "--sort", "tokens", ".", cwd=tree).decode().splitlines()[0]
    assert first == f"├── src/ ({A + 4 * B} tokens)"
    (root,) = objects(output("count", "--tree", "--json", ".", cwd=tree))
    assert (root["tokens"], root["files"]) == (2 * A + 5 * B, 5)
    assert [child["name"] for child in root["children"]] == ["docs", "src"]


def test_a_tree_begins_at_the_folder_that_was_named(tree):
    inner = tree / "a/b"
    inner.mkdir(parents=True)
    (inner / "c").mkdir()
    (inner / "c/x.txt").write_text("x")
    for name in ("a/b", "a/b/", str(inner), "./a/b", "../" + tree.name + "/a/b"):
        lines = output("count", "--tree", name, cwd=tree).decode().splitlines()
        shown = name.rstrip("/")
        assert lines[0] == f"└── {shown}/ (1 token)"
        assert [line.strip() for line in lines[1:3]] == ["└── c/ (1 token)", "└── x.txt (1 token)"]
        (root,) = objects(output("count", "--tree", "--json", name, cwd=tree))
        assert root["children"][0]["name"] == shown
    lines = output("count", "--tree", ".", cwd=tree).decode().splitlines()
    assert lines[0].startswith("├── a/")


def test_a_tree_without_other_columns_names_what_was_given(tree):
    for given in (["--long"], ["--top", "3"], ["--long", "--top", "3"]):
        options = " and ".join(word for word in given if word != "3")
        assert f"take {options} out\n" in fails("count", "--tree", *given, ".", cwd=tree)


def test_a_tree_may_be_deeper_than_functions_may_call():
    from llama3_tok.cli.count_tree import _lines, tree_of
    from llama3_tok.text.files import Totals

    path = "/".join("a" * 2000)
    lines = list(_lines(tree_of([(path, Totals(1, 7))]), None))
    assert len(lines) == 2000
    assert lines[-1].endswith("└── a (7 tokens)")


def test_a_terminal_gets_a_header_and_no_control_characters(tree):
    (tree / "src/\x1b[31m.py").write_text("x")
    _, shown, _ = on_terminal("count", "--by", "language", ".", cwd=tree)
    assert shown.split()[:3] == [b"tokens", b"files", b"language"]
    _, shown, _ = on_terminal("count", "--tree", ".", cwd=tree)
    assert b"\\x1b[31m.py (1 token)" in shown


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", "Python"),
        ("A.RS", "Rust"),
        ("Dockerfile", "Dockerfile"),
        ("CMakeLists.txt", "CMake"),
        ("notes.txt", "Text"),
        ("noending", None),
        ("a.nosuch", None),
        (".gitignore", "Ignore List"),
    ],
)
def test_languages_are_told_by_names(name, language):
    assert language_of(name) == language


# Lists of files


@pytest.mark.parametrize(("options", "end"), [((), b"\n"), ((), b"\r\n"), (("-0",), b"\0")])
def test_files_are_taken_from_a_list(tree, options, end):
    (tree / "picture").write_bytes(b"\x89PNG\0")
    names = [b"src/one.py", b"docs", b"", b"picture"]
    (tree / "list").write_bytes(end.join(names) + end)
    for given, stdin in (("list", b""), ("-", end.join(names))):
        done = run("count", "--files-from", given, *options, stdin=stdin, cwd=tree)
        assert (done.returncode, done.stderr) == (
            0,
            b"llama3-tok: 1 file was skipped: 1 binary\n",
        )
        found = [line.split()[1] for line in done.stdout.decode().splitlines()]
        assert found == ["src/one.py", "docs/Makefile", "docs/data.jsonl.gz", "total"]


def test_a_list_has_one_use_of_standard_input(tree):
    assert "only once" in fails("count", "--files-from", "-", "-", cwd=tree)
    assert "-0 is about --files-from" in fails("count", "-0", "src", cwd=tree)
    (tree / "-").write_text("x y")
    (printed, _) = objects(output("count", "--json", "--files-from", "-", stdin=b"-\n", cwd=tree))
    assert (printed["path"], printed["tokens"]) == ("./-", 2)
    assert output("count", "--files-from", "-", stdin=b"", cwd=tree) == b"0  total\n"


# What is skipped, and UTF-16


def test_what_is_skipped_is_counted(tree):
    (tree / "a.bin").write_bytes(b"a\0b")
    (tree / "b.bin").write_bytes(b"a\0b")
    for name, encoding in (("le", "utf-16-le"), ("be", "utf-16-be")):
        # No NUL in it, so it could pass for text.
        (tree / f"{name}.txt").write_bytes("\ufeff日本語 🦙".encode(encoding))
    done = run("count", "--json", ".", "nosuch1", "nosuch2", cwd=tree)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1] == (
        "llama3-tok: 6 files were skipped: 2 binary, 2 UTF-16 (--decode counts them), 2 unreadable"
    )
    total = objects(done.stdout)[-1]
    assert total["skipped_files"] == {"binary": 2, "utf-16": 2, "unreadable": 2}
    assert total["files"] == 5


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_decoded_if_that_is_asked_for(tmp_path, encoding):
    text = TEXT * 3000
    (tmp_path / "text").write_bytes(("\ufeff" + text).encode(encoding))
    (tmp_path / "plain").write_text(TEXT, encoding="utf-8")
    assert int(output("count", "--decode", "text", cwd=tmp_path)) == count_of(text)
    first, second, _ = objects(output("count", "--decode", "--json", ".", cwd=tmp_path))
    assert (first["tokens"], second["tokens"]) == (A, count_of(text))
    assert (second["characters"], second["bytes"]) == (len(text), len(text.encode()))
    stdin = (tmp_path / "text").read_bytes()
    assert int(output("count", "--decode", stdin=stdin)) == count_of(text)
    done = run("count", "text", cwd=tmp_path)
    assert b"text: warning: this is UTF-16, counted as bytes; --decode counts" in done.stderr


def test_broken_utf16_is_named(tmp_path):
    (tmp_path / "text").write_bytes("\ufeffab".encode("utf-16-le") + b"x")
    message = fails("count", "--decode", "text", cwd=tmp_path)
    assert message == "llama3-tok: text: this is not valid UTF-16 at byte 6\n"


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_standard_input_is_unpacked(pack):
    assert int(output("count", stdin=pack(TEXT.encode()))) == A
    records = jsonl([{"text": TEXT}, {"text": OTHER}])
    assert int(output("count", "--field", "text", stdin=pack(records))) == A + B


def test_standard_input_that_begins_as_a_packed_file_is_text(tmp_path):
    for text in ("(", "(text", "x"):
        assert int(output("count", stdin=text.encode())) == count_of(text)
    assert run("count", stdin=b"\x1f\x8b").returncode == 0


# Budgets


def test_a_budget_for_each_file_names_the_largest(tree):
    fits = run("count", "--budget", str(max(A, 3 * B)), "--each", ".", cwd=tree)
    assert (fits.returncode, fits.stderr) == (0, b"")
    over = run("count", "--budget", str(B), "--each", "src", cwd=tree)
    assert over.returncode == 1
    name, tokens = max(("src/one.py", A), ("src/deep/three.rs", 3 * B), key=lambda file: file[1])
    assert over.stderr.decode() == (
        f"llama3-tok: 2 files are above the budget of {B}; the largest is {name}, with "
        f"{tokens} tokens\n"
    )
    assert "--each is about --budget" in fails("count", "--each", "src", cwd=tree)


def test_a_budget_for_each_record_names_its_line(tmp_path):
    texts = [OTHER, TEXT * 3, "", TEXT * 3, TEXT]
    (tmp_path / "a.jsonl").write_bytes(b"\n" + jsonl([{"text": text} for text in texts]))
    done = run("count", "--field", "text", "--budget", str(A), "--each", "a.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"llama3-tok: 2 records are above the budget of {A}; the largest is a.jsonl, line 3, "
        f"with {count_of(TEXT * 3)} tokens\n"
    )
    fits = ["--budget", str(count_of(TEXT * 3)), "--each"]
    assert output("count", "--field", "text", *fits, "a.jsonl", cwd=tmp_path)


def test_the_largest_record_is_found_in_any_chunk(tmp_path):
    records = [{"text": OTHER}] * 20_000
    records[15_000] = {"text": TEXT}
    (tmp_path / "a.jsonl").write_bytes(jsonl(records))
    done = run("count", "--field", "text", "--budget", str(B), "--each", "a.jsonl", cwd=tmp_path)
    assert b"the largest is a.jsonl, line 15001, with" in done.stderr


# Records


def test_lines_without_the_field_may_be_skipped(tmp_path):
    lines = [json.dumps({"a": {"b": TEXT}}), "no", json.dumps({"a": {"c": 1}}), '{"a.b": "x"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert "line 2: this is not valid JSON" in fails(
        "count", "--field", "a.b", "a.jsonl", cwd=tmp_path
    )
    words = ["count", "--field", "a.b", "--on-error", "skip"]
    done = run(*words, "a.jsonl", cwd=tmp_path)
    assert (done.returncode, int(done.stdout)) == (2, A + 1)
    assert done.stderr.startswith(
        b"llama3-tok: a.jsonl: 2 lines were skipped, the first is line 2: this is not valid JSON"
    )
    (only,) = objects(run(*words, "--json", "a.jsonl", cwd=tmp_path).stdout)
    assert (only["texts"], only["skipped_lines"]) == (2, 2)
    assert "--on-error is for lines" in fails(
        "count", "--on-error", "skip", "a.jsonl", cwd=tmp_path
    )


def test_a_tree_may_be_deeper_than_functions(tmp_path):
    depth = 1200
    make = "import os\nfor _ in range(%d): os.mkdir('d'); os.chdir('d')\n"
    make += "open('a.txt', 'w').write('Hi')"
    subprocess.run([sys.executable, "-c", make % depth], cwd=tmp_path, check=True)
    try:
        assert output("count", "--tree", ".", cwd=tmp_path).count(b"d/ (1 token)") == depth
        printed = output("count", "--tree", "--json", ".", cwd=tmp_path).decode()
    finally:  # Python's own can't remove it
        subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)
    assert printed.count('"name": "d"') == depth
    assert printed.count('"children": [') == printed.count("]}") == depth + 1
    assert '{"name": "a.txt", "tokens": 1, "bytes": 2, "characters": 2}' in printed
