"""Threads, forks, and interpreters that end or are several; `tests/crowd.py` has the long runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import crowd
import endings
from conftest import EXAMPLES
from crowd_jobs import JOBS
from interpreter import run_python

HERE = Path(__file__).parent
IS_LARGE = EXAMPLES >= 2000
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def run(*arguments, timeout=900):
    """Runs `crowd.py`, since its threads and forks are no good company for other tests."""
    done = subprocess.run(
        [sys.executable, HERE / "crowd.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@forks
def test_threads_and_forks_get_the_same_ids_and_nobody_hangs(tmp_path):
    record = tmp_path / "record.json"
    seconds, count = (20, 200) if IS_LARGE else (3, 20)
    run("--threads", 64, "--seconds", seconds, "--forks", count, "--json", record)
    found = json.loads(record.read_text())
    assert found["threads"]["wrong"] == 0
    assert sum(found["threads"]["jobs"].values()) >= 64
    assert found["forks"]["forks"] == count
    assert set(found["forks"]["by"]) == set(crowd.KINDS)


@forks
def test_workers_of_a_server_answer_while_they_are_replaced():
    run("--seconds", 0, "--forks", 0, "--workers", 60 if IS_LARGE else 6)


@pytest.mark.long
@forks
def test_datasets_map_works_while_threads_do():
    pytest.importorskip("datasets", reason="datasets is not installed")
    run("--seconds", 0, "--forks", 0, "--maps", 20 if IS_LARGE else 2)


def test_another_answer_and_a_hang_are_told(monkeypatch, tmp_path):
    here = crowd.Crowd(str(tmp_path))
    assert here.do("encode") is None
    here.answers["encode"] = "another"
    working = crowd.Threads(here, 2, 0, ("encode",))
    working.watch(5)
    working.end()
    assert set(working.wrong) == {"encode: another answer"}
    monkeypatch.setattr(crowd, "HANG", 0.0)
    monkeypatch.setattr(crowd.faulthandler, "dump_traceback", lambda all_threads: None)
    slow = crowd.Threads(here, 1, 0, ("chats",))
    with pytest.raises(AssertionError, match="has ended no job"):
        slow.check()
    monkeypatch.undo()
    slow.end()


def test_every_job_has_an_answer(tmp_path):
    assert set(crowd.Crowd(str(tmp_path)).answers) == set(JOBS)


# A fork while a table is made


@pytest.mark.long
@forks
@pytest.mark.parametrize(
    ("makes", "needs"),
    [
        # The tokens by their bytes, which each tokenizer has: in tens of milliseconds.
        (
            "made.append(llama3_tok.Tokenizer().with_special_tokens({f'<|{n}|>': 128256})); "
            "made[-1].prefix_tokens('wor')",
            "made[-1].prefix_tokens('wor')",
        ),
        # The blocks of a cache of prefixes, under a lock.
        ("made[0].encode(text)", "made[0].encode(text)"),
    ],
    ids=["prefix_tokens", "PrefixCache"],
)
def test_a_process_that_is_forked_meanwhile_does_not_wait_for_threads_it_has_not(makes, needs):
    done = run_python(
        f"""
        import os, signal, sys, threading, time, warnings
        import llama3_tok
        from llama3_tok.serving import PrefixCache
        warnings.simplefilter("ignore")
        text = "The quick brown fox, naïve Việt. " * 30_000
        made, n = [PrefixCache()], 0
        made[0].encode(text)
        made.append(llama3_tok.Tokenizer())
        # NumPy is loaded before: a fork meanwhile would wait for a lock of Python's own.
        made[1].encode_array(text)
        def work():
            global n
            while True:
                n += 1
                {makes}
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        for turn in range(60):
            time.sleep(turn % 7 / 1000)
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends it where it waits for ever
                {needs}
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            if status:
                print(turn, status)
                break
        sys.stdout.flush()
        os._exit(0)
        """,
        timeout=300,
    )
    assert (done.stdout, done.stderr) == ("", "")


# Ends of interpreters


@pytest.mark.long
@forks
@pytest.mark.parametrize("name", endings.ENDINGS)
def test_an_interpreter_ends_in_silence_while_threads_work(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [one for one in endings.run(20 if IS_LARGE else 2, names=(name,)) if one] == []


def test_an_ending_that_is_wrong_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {"noise": ("print('noise', file=sys.stderr)", 0), "code": ("sys.exit(1)", 0)}
    monkeypatch.setattr(endings, "ENDINGS", wrong)
    noise, code = endings.run(1, names=("noise", "code"))
    assert "it said: noise" in noise
    assert "exit code 1" in code


# Other interpreters


SUBINTERPRETER = """
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    {before}
    number = interpreters.create()
    code = '''
    try:
        import llama3_tok
        llama3_tok.encode("Hello world")
    except ImportError as error:
        print("ImportError:", error)
    else:
        print("it works")
    '''
    import textwrap
    failed = interpreters.run_string(number, textwrap.dedent(code))
    assert not failed, failed
    interpreters.destroy(number)
    import llama3_tok
    print(llama3_tok.encode("Hello world"))
"""


@pytest.mark.parametrize("before", ["import llama3_tok; llama3_tok.encode('a')", ""])
def test_a_second_interpreter_of_a_process_gets_a_clear_import_error(before):
    done = run_python(SUBINTERPRETER.format(before=before))
    assert done.returncode == 0, done.stderr
    said, ids = done.stdout.splitlines()
    assert ids == "[9906, 1917]"
    assert said == "it works" or ("ImportError: " in said and "interpreter" in said), said
