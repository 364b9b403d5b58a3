"""`llama3-tok chat`."""

import json

import pytest

import folders
from cli import fails, on_terminal, output, run
from llama3_tok import Tokenizer

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <|eot_id|>\x1b[31m"},
    {"role": "assistant", "content": "Hello\n\nyou"},
    {"role": "user", "content": "漢字?"},
]
TOOLS = [{"type": "function", "function": {"name": "größe"}}]


@pytest.fixture
def folder(tmp_path):
    for name, content in (
        ("messages.json", MESSAGES),
        ("both.json", {"model": "x", "messages": MESSAGES, "tools": TOOLS}),
        ("tools.json", TOOLS),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def test_the_text_is_that_of_render_chat(tokenizer, folder):
    text = tokenizer.render_chat(MESSAGES) + "\n"
    assert output("chat", "messages.json", cwd=folder) == text.encode()
    assert output("chat", "-", stdin=json.dumps(MESSAGES).encode()) == text.encode()
    with_tools = tokenizer.render_chat(MESSAGES, tools=TOOLS) + "\n"
    assert output("chat", "both.json", cwd=folder) == with_tools.encode()
    given = ("chat", "--tools", "tools.json", "messages.json")
    assert output(*given, cwd=folder) == with_tools.encode()


@pytest.mark.long
def test_every_option_is_that_of_encode_chat(folder):
    for arguments, profile, options in (
        ([], "llama3.1", {}),
        (["--no-prompt"], "llama3.1", {"add_generation_prompt": False}),
        (["--continue"], "llama3.1", {"continue_final_message": True}),
        (["--date", "1 Jan 2030"], "llama3.1", {"date": "1 Jan 2030"}),
        (["--dialect", "meta"], "llama3.1", {"dialect": "meta"}),
        (["--tools", "tools.json"], "llama3.2", {"tools": TOOLS}),
        (
            ["--tools", "tools.json", "--tools-in", "system"],
            "llama3.2",
            {"tools": TOOLS, "tools_in": "system"},
        ),
        (
            ["--builtin-tools", "brave_search, code_interpreter"],
            "llama3.1",
            {"builtin_tools": ["brave_search", "code_interpreter"]},
        ),
        (["--tool-format", "python_list"], "meta", {"tool_format": "python_list"}),
        ([], "llama3", {}),
    ):
        ids, mask = Tokenizer(profile=profile).encode_chat(MESSAGES, return_mask=True, **options)
        given = ("chat", "--profile", profile, *arguments)
        printed = output(*given, "--ids", "messages.json", cwd=folder)
        assert printed == " ".join(map(str, ids)).encode() + b"\n"
        result = json.loads(output(*given, "--json", "messages.json", cwd=folder))
        text = Tokenizer(profile=profile).render_chat(MESSAGES, **options)
        assert result == {"text": text, "ids": ids, "mask": mask.tolist()}


def test_in_a_pipe_marks_stand_about_what_is_learned(folder):
    printed = output("chat", "--mask", "--profile", "llama3", "messages.json", cwd=folder).decode()
    assert printed.count("⟦") == printed.count("⟧") == 1
    assert "<|end_header_id|>\n\n⟦Hello\n\nyou<|eot_id|>⟧<|start_header_id|>user" in printed
    plain = Tokenizer(profile="llama3").render_chat(MESSAGES) + "\n"
    assert printed.replace("⟦", "").replace("⟧", "") == plain


def test_on_a_terminal_structure_is_coloured_and_content_is_not_obeyed(folder):
    given = ("chat", "--profile", "llama3", "messages.json")
    code, shown, errors = on_terminal(*given, cwd=folder)
    assert (code, errors) == (0, b"")
    assert b"Hi <|eot_id|>\\x1b[31m\x1b[38;5;231;48;5;90m<|eot_id|>" in shown
    assert b"Hello\n\nyou\x1b[" in shown
    code, shown, errors = on_terminal(*given, "--mask", cwd=folder)
    assert (code, errors) == (0, b"")
    learned = b"\x1b[38;5;16;48;5;157mHello\x1b[0m\n\n\x1b[38;5;16;48;5;157myou\x1b[0m"
    assert learned + b"\x1b[38;5;231;48;5;22m<|eot_id|>\x1b[0m" in shown
    code, shown, _ = on_terminal(*given, "--mask", cwd=folder, NO_COLOR="1")
    assert code == 0
    assert "⟦Hello\n\nyou<|eot_id|>⟧".encode() in shown
    assert b"\x1b" not in shown


# Folders with chat templates of their own


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Makes a folder of a shape, once."""
    folder = tmp_path_factory.mktemp("shapes")

    def make(name):
        if not (folder / name).exists():
            folders.SHAPES[name](folder / name)
        return str(folder / name)

    return make


HI = [{"role": "user", "content": "hi <|im_end|>"}, {"role": "assistant", "content": "yes"}]
CHATML = "<|im_start|>user\nhi <|im_end|><|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"


def test_a_folder_has_its_own_chat_template_run(shapes, folder):
    given = ("chat", "--vocabulary", shapes("chatml"), "--no-prompt")
    text = json.dumps(HI).encode()
    assert output(*given, "-", stdin=text) == f"{CHATML}\n".encode()
    ids = list(map(int, output(*given, "--ids", "-", stdin=text).split()))
    # The name in the message is text, that of the structure is the token.
    assert (ids.count(128011), ids.count(128012)) == (2, 2)
    result = json.loads(output(*given, "--json", "-", stdin=text))
    assert result == {"text": CHATML, "ids": ids, "mask": None}


def test_without_a_generation_block_mask_alone_is_refused(shapes):
    given = ("chat", "--vocabulary", shapes("chatml"), "--mask", "-")
    message = fails(*given, stdin=json.dumps(HI).encode())
    assert message.startswith("llama3-tok: --mask: this chat template does not say which tokens")
    given = ("chat", "--vocabulary", shapes("reasoning"), "--no-prompt", "-")
    printed = output(*given, "--mask", stdin=json.dumps(HI).encode()).decode()
    assert printed.endswith("<｜Assistant｜>⟦yes<｜end▁of▁sentence｜>⟧\n")
    result = json.loads(output(*given, "--json", stdin=json.dumps(HI).encode()))
    assert sum(result["mask"]) == 2


def test_without_a_mask_colours_still_show_tokens(shapes):
    text = json.dumps(HI).encode()
    given = ("chat", "--vocabulary", shapes("chatml"), "-")
    code, shown, errors = on_terminal(*given, stdin=text)
    assert (code, errors) == (0, b"")
    assert b"hi <|im_end|>\x1b[38;5;231;48;5;90m<|im_end|>\x1b[0m" in shown
    # Ordinary added tokens are tokens, too.
    hi = json.dumps(HI[:1]).encode()
    _, shown, _ = on_terminal("chat", "--vocabulary", shapes("reasoning"), "-", stdin=hi)
    assert "hi <|im_end|>\x1b[38;5;231;48;5;90m<｜Assistant｜><think>\x1b[0m".encode() in shown


def test_a_template_is_named_or_a_file(shapes, folder):
    given = ("chat", "--vocabulary", shapes("templates"), "--no-prompt")
    text = json.dumps(HI).encode()
    with_tools = output(*given, "--tools", str(folder / "tools.json"), "-", stdin=text).decode()
    assert with_tools.startswith('<|begin_of_text|>[{"type": "function"')
    tools = ("--tools", str(folder / "tools.json"), "--template")
    assert output(*given, *tools, "default", "-", stdin=text) == f"{CHATML}\n".encode()
    (folder / "mine.jinja").write_text("{{ messages | length }}|{{ mood }}", encoding="utf-8")
    mine = ("chat", "--template", "mine.jinja", "--set", 'mood=["<|eot_id|>"]', "-")
    assert output(*mine, stdin=text, cwd=folder) == b"2|['<|eot_id|>']\n"


def test_documents_and_variables_reach_the_template(folder):
    template = (
        "{{ documents[0].text }}{% for v in [a, b, c] %}|{{ v }}/{{ v is string }}{% endfor %}"
    )
    (folder / "mine.jinja").write_text(template, encoding="utf-8")
    (folder / "documents.json").write_text('[{"text": "é"}]', encoding="utf-8")
    given = ("chat", "--template", "mine.jinja", "--documents", "documents.json")
    variables = ("--set", "a=1", "--set", "b=one=two", "--set", 'c="1"')
    printed = output(*given, *variables, "messages.json", cwd=folder)
    assert printed.decode() == "é|1/False|one=two/True|1/True\n"


def test_what_is_no_template_variable_or_document_is_refused(shapes, folder):
    vocabulary = ("chat", "--vocabulary", shapes("templates"))
    message = fails(*vocabulary, "--template", "rag", "messages.json", cwd=folder)
    assert "--template: rag is neither a file nor the name of a chat template" in message
    assert "has default, tool_use" in message
    (folder / "words.txt").write_text("no template", encoding="utf-8")
    (folder / "bytes.txt").write_bytes(b"{{ \xff")
    for name, reason in (("words.txt", "is not a chat template"), ("bytes.txt", "is not UTF-8")):
        message = fails("chat", "--template", name, "messages.json", cwd=folder)
        assert message.startswith(f"llama3-tok: {name}: {reason}")
    assert "'x' is not NAME=JSON" in fails("chat", "--set", "x", "messages.json", cwd=folder)
    (folder / "documents.json").write_text("{}", encoding="utf-8")
    given = ("--documents", "documents.json", "messages.json")
    assert "documents.json: must be a list of documents" in fails("chat", *given, cwd=folder)
    (folder / "documents.json").write_text("[{}]", encoding="utf-8")
    # The format of a release has no place for either.
    assert "--documents: the format of this" in fails("chat", *given, cwd=folder)
    message = fails("chat", "--set", "a=1", "messages.json", cwd=folder)
    assert "--set: the format of this conversation has no place for them" in message
    message = fails("chat", "--vocabulary", shapes("alone"), "messages.json", cwd=folder)
    assert "has no chat template; pass --template, the text of one" in message
    assert "can be standard input" in fails("chat", "--documents", "-", "-")


# Faults


def test_a_fault_is_named_with_its_file_and_place(folder):
    (folder / "bad.json").write_text('[{"role": "user", "content": "Hi"}, {"role": "usr"}]')
    assert fails("chat", "bad.json", cwd=folder).startswith(
        "llama3-tok: bad.json: messages[1].content: is missing"
    )
    (folder / "bad.json").write_text('[{"role": "usr", "content": "Hi"}]')
    assert 'bad.json: messages[0].role: "usr" is not a role' in fails(
        "chat", "bad.json", cwd=folder
    )
    (folder / "bad-tools.json").write_text('[{}, "f"]')
    message = fails("chat", "--tools", "bad-tools.json", "messages.json", cwd=folder)
    assert "bad-tools.json: tools[1]: must be a dictionary" in message
    assert "standard input: messages: there are no messages" in fails("chat", "-", stdin=b"[]")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[\n{"role" "user"}]', "bad.json, line 2: this is not valid JSON: "),
        (b"", "bad.json, line 1: this is not valid JSON: "),
        (b'["\xff"]', "bad.json: this is not valid JSON: "),
        (b"[" * 200_000, "bad.json: this is not valid JSON: "),
        (
            b'[{"content": ' + b"9" * 5000 + b"}]",
            "bad.json: this is not valid JSON: Exceeds the limit",
        ),
        (b"5", "bad.json: must be a list of messages, or an object with messages"),
        (b"{}", "bad.json: must be a list of messages, or an object with messages"),
        (b'{"messages": "Hi"}', "bad.json: messages: must be a list, not str"),
    ],
)
def test_a_file_that_is_no_conversation_is_refused(tmp_path, content, reason):
    (tmp_path / "bad.json").write_bytes(content)
    assert fails("chat", "bad.json", cwd=tmp_path).startswith(f"llama3-tok: {reason}")


def test_wrong_usage_is_explained(folder):
    assert "no-such.json: No such file" in fails("chat", "no-such.json", cwd=folder)
    message = fails("chat", "--tool-format", "python_list", "messages.json", cwd=folder)
    assert "--tool-format is for --dialect meta" in message
    assert "Try 'llama3-tok chat --help'." in message
    assert fails("chat", "--ids", "--mask", "messages.json", cwd=folder)
    assert fails("chat")


def test_the_help_has_its_examples():
    assert b"llama3-tok chat messages.json" in output("chat", "--help")


def test_a_second_bos_is_warned_of_in_one_line():
    done = run("encode", "--bos", "--allowed-special", "all", "<|begin_of_text|>Hi")
    assert done.returncode == 0
    assert done.stdout == b"128000 128000 13347\n"
    message = "the text begins with <|begin_of_text|> already, and --bos adds a second one"
    assert done.stderr.decode() == f"llama3-tok: warning: {message}\n"
