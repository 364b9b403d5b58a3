"""`llama3-tok generate` and `chat-with`, in a pipe and on a terminal."""

import functools
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import models  # noqa: E402
from cli import COMMAND, environment, on_terminal, output  # noqa: E402
from llama3_tok.cli import main  # noqa: E402

CHAT = [{"role": "user", "content": "Hello <|eot_id|>"}]


@pytest.fixture(scope="module")
def model():
    return models.model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(models.folder(tmp_path_factory.mktemp("model")))


def run(capfdbinary, *arguments):
    """The command in this process, which has torch already: exit code and what it wrote."""
    status = main(["generate", *arguments])
    out, err = capfdbinary.readouterr()
    return status, out, err.decode()


def test_the_command_writes_what_the_model_does(model, folder):
    made = model.generate("Hello world", max_new_tokens=12)
    assert output("generate", folder, "Hello world", "-n", "12") == made.text.encode()


@pytest.mark.parametrize("name", ["folder", "nothing is here"])
def test_transformers_speaks_afterwards_as_before(folder, capfdbinary, name):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        for verbosity in (logging.INFO, logging.WARNING):
            logging.set_verbosity(verbosity)
            logging.enable_progress_bar()
            status, _, _ = run(capfdbinary, folder if name == "folder" else name, "Hi", "-n", "1")
            assert status == (0 if name == "folder" else 2)
            assert logging.get_verbosity() == verbosity
            assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(before[0])
        (logging.enable_progress_bar if before[1] else logging.disable_progress_bar)()


def test_options_reach_the_model(model, folder, capfdbinary):
    options = ["-n", "9", "-t", "1.3", "--top-p", "0.8", "--top-k", "50", "--min-p", "0.01"]
    options += ["--repetition-penalty", "1.2", "--seed", "3"]
    made = model.generate(
        "Hello", max_new_tokens=9, temperature=1.3, top_p=0.8, top_k=50, min_p=0.01,
        repetition_penalty=1.2, seed=3,
    )  # fmt: skip
    assert run(capfdbinary, folder, "Hello", *options) == (0, made.text.encode(), "")
    stop = made.text[2:4]
    cut = made.text[: made.text.index(stop)]
    found = run(capfdbinary, folder, "Hello", *options, "--stop", stop)
    assert found == (0, cut.encode(), "")


def test_a_chat_with_a_system_message_and_one_object(model, folder, capfdbinary):
    chat = [{"role": "system", "content": "S"}, *CHAT]
    words = ("--chat", "--system", "S", "--json", CHAT[0]["content"], "-n", "6")
    status, out, err = run(capfdbinary, folder, *words)
    made = model.generate(chat, max_new_tokens=6)
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert found["ids"] == made.ids
    assert found["prompt_tokens"] == len(model.tokenizer.encode_chat(chat))
    assert found["finish_reason"] == "length"
    assert found["message"] == model.tokenizer.parse_assistant(made.ids).to_message()
    assert found["tokens_per_second"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--system", "S"], "--system goes with --chat"),
        (["x", "--top-p", "3"], "--top-p must be from 0 to 1, not 3.0"),
        (["x", "-n", "0"], "--max-new-tokens must be at least 1"),
        (["x", "--attention", "flash_attention_2", "--device", "cpu"], "flash attention"),
        (["x", "--device", "nowhere"], "the device 'nowhere' can't be used: "),
        (["a " * 1000], "the prompt has 1,002 tokens, and the context of the model 512"),
        ([], "PROMPT"),
    ],
)
def test_what_can_not_be_is_said_on_standard_error(folder, capfdbinary, words, said):
    status, out, err = run(capfdbinary, folder, *words)
    assert (status, out) == (2, b"")
    assert said in err
    assert err.startswith("llama3-tok: ")


def test_a_folder_that_is_none_is_named(tmp_path, capfdbinary):
    status, out, err = run(capfdbinary, str(tmp_path), "x")
    assert (status, out) == (2, b"")
    assert f"{tmp_path}/config.json: there is no such file" in err


def test_out_of_memory_says_what_was_needed(folder, capfdbinary, monkeypatch):
    @functools.wraps(transformers.LlamaForCausalLM.forward)  # with its signature
    def forward(*_, **__):
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", forward)
    status, out, err = run(capfdbinary, folder, "Hello")
    assert (status, out) == (2, b"")
    assert err.startswith("llama3-tok: out of memory: 1 sequences of 2 tokens need")


def test_a_terminal_gets_nothing_that_it_would_obey():
    from llama3_tok.cli import model as shared

    class Terminal:
        def isatty(self):
            return True

    written = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "is_terminal", lambda stream: True)
        patch.setattr(shared, "write", written.append)
        shared.show(["red \x1b[31m", "line\n\ttab", "\r\u202e"])
    assert b"".join(written) == b"red \\x1b[31mline\n\ttab\\r\\u202e"


def test_standard_input_may_be_the_prompt_and_a_terminal_shows_the_answer(model, folder):
    made = model.generate("Hello", max_new_tokens=5)
    status, shown, err = on_terminal("generate", folder, "-", "-n", "5", stdin=b"Hello")
    assert (status, err) == (0, b"")
    assert shown.decode().isprintable() or "\n" in shown.decode()
    assert shown.endswith(b"\n")
    assert made.text.split("\n")[0][:2].encode() in shown


def test_lines_in_a_pipe_are_the_turns_of_a_conversation(model, folder):
    chat = model.chat(system="S", max_new_tokens=6, temperature=0.6, top_p=0.9, seed=5)
    answers = [chat.send("Hello").content, chat.send("More").content]
    chat.reset()
    answers.append(chat.send("Hello").content)
    assert answers[0] == answers[2]
    stdin = b"Hello\n\nMore\n/reset\nHello\n"
    words = ("--system", "S", "-n", "6", "--seed", "5")
    printed = output("chat-with", folder, *words, stdin=stdin)
    assert printed == "".join(f"{answer}\n" for answer in answers).encode()


class Person:
    """Someone at a terminal of their own, who is gone when the block ends."""

    # A session of its own, whose terminal this is, so that Ctrl-C reaches it as a signal.
    LAUNCH = (
        "import fcntl, os, sys, termios; "
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )

    def __init__(self, *arguments):
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.LAUNCH, *COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=environment(),
        )
        os.close(theirs)
        self.shown = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def reads(self, text, seconds=120):
        """Waits until the terminal shows a text, and takes what came before it."""
        before = self._sees(text, seconds)
        assert before is not None, (text, self.shown)
        return before

    def _sees(self, text, seconds):
        """What the terminal shows before a text; None if the text does not come in time."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            if time.monotonic() > end:
                return None
            if select.select([self._terminal], [], [], 0.1)[0]:
                self.shown += os.read(self._terminal, 65536)
        before, self.shown = self.shown.split(text, 1)
        return before

    def waits(self, seconds=120):
        """Until something more is shown."""
        assert self.shown or select.select([self._terminal], [], [], seconds)[0]

    def types(self, keys):
        os.write(self._terminal, keys)

    def interrupts(self, tries=20):
        """Ctrl-C until there is a new prompt.

        Once is nearly always enough. But a signal that comes after `input` has shown its prompt
        and before it waits for a key is seen only with the next one: CPython's own race.
        """
        for _ in range(tries):
            self.types(b"\x03")
            if self._sees(b"> ", 5) is not None:
                return
        raise AssertionError(f"{tries} times Ctrl-C, and no prompt: {self.shown!r}")

    def leaves(self):
        return self._process.wait(60)


@pytest.mark.skipif(not Path(COMMAND[0]).is_absolute(), reason="needs the command's path")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_a_person_asks_stops_an_answer_begins_anew_and_leaves(folder):
    words = ("chat-with", folder, "-n", "400", "-t", "0", "--stop", "never to be seen")
    with Person(*words) as person:
        assert b"Loading" in person.reads(b"> ")
        person.types(b"Hello\n")
        person.reads(b"Hello\r\n")
        person.waits()
        person.interrupts()  # the answer ends, the conversation does not
        person.types(b"/nothing\n")
        person.reads(b"/nothing is not a command")
        person.reads(b"> ")
        person.types(b"/reset\n")
        person.reads(b"a new conversation")
        person.reads(b"> ")
        person.types(b"unfinished")
        # Ctrl-C empties what waits to be read: were it typed between readline's finding of a key
        # and its reading, readline would wait for another key and hear of no signal until then.
        person.reads(b"unfinished")
        person.interrupts()  # the line is given up
        person.types(b"\x04")  # Ctrl-D
        assert person.leaves() == 0


def test_control_c_while_a_command_is_obeyed_gives_a_new_prompt(folder, capfdbinary, monkeypatch):
    from llama3_tok.cli import chat_with
    from llama3_tok.torch import Conversation

    def interrupted(_):
        raise KeyboardInterrupt

    lines = iter(["/reset", "/nothing"])

    def asked(prompt):
        monkeypatch.setattr(Conversation, "reset", interrupted)  # not before there is one
        line = next(lines, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr(chat_with, "is_terminal", lambda stream: True)
    monkeypatch.setattr("builtins.input", asked)
    assert main(["chat-with", folder]) == 0
    assert "/nothing is not a command" in capfdbinary.readouterr().err.decode()


def test_help_has_examples_and_needs_no_torch():
    for verb in ("generate", "chat-with"):
        shown = output(verb, "--help").decode()
        assert "examples:" in shown
        assert f"llama3-tok {verb} " in shown
        assert "--vocabulary" not in shown
    assert "Ctrl-C stops an answer" in shown
