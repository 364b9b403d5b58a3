"""One vocabulary of options: what an option means, it means on every call that has it."""

import copy
import inspect
import itertools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flags
import llama3_tok
import strategies
from llama3_tok import (
    ChatFormatError,
    SpecialTokenError,
    Tokenizer,
    data,
    report,
    torch,
)
from llama3_tok.formats import convert

TEXTS = [
    "",
    "Hello world",
    "a<|eot_id|>b",
    "<|begin_of_text|>",
    "Việt\ud83d\ude00 \udc00 ",
    "x" * 3000,
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer()


def options():
    names = st.sampled_from([(), "all", {"<|eot_id|>"}, ["<|eom_id|>", "<|eot_id|>"]])
    given = {"bos": st.booleans(), "eos": st.booleans(), "allowed_special": names}
    return st.fixed_dictionaries({}, optional=given)


@pytest.mark.filterwarnings("ignore:the text begins with")
@given(texts=st.lists(strategies.texts() | st.sampled_from(TEXTS), max_size=5), options=options())
def test_calls_that_count_count_what_encode_gives(tmp_path_factory, tokenizer, texts, options):
    expected = [tokenizer.encode(text, **options) for text in texts]
    lengths = list(map(len, expected))
    assert [tokenizer.count(text, **options) for text in texts] == lengths
    assert [llama3_tok.count(text, **options) for text in texts] == lengths
    assert [len(tokenizer.encode_array(text, **options)) for text in texts] == lengths
    assert [len(tokenizer.encode_with_offsets(text, **options)) for text in texts] == lengths
    assert [len(tokenizer.explain(text, **options).ids) for text in texts] == lengths
    for threads in (1, 3):
        counted = tokenizer.count_batch(texts, threads=threads, **options)
        assert counted.dtype == np.int64
        assert counted.tolist() == lengths
        assert tokenizer.encode_batch(texts, threads=threads, **options) == expected

    folder = tmp_path_factory.getbasetemp() / "options"
    folder.mkdir(exist_ok=True)
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.txt")
        paths[-1].write_bytes(tokenizer.decode_bytes(tokenizer.encode(text)))
    assert [tokenizer.count_file(path, **options) for path in paths] == lengths
    assert tokenizer.count_files(paths, **options).tolist() == lengths
    lines = folder / "lines.jsonl"
    records = [path.read_bytes().decode() for path in paths]
    lines.write_text("".join(json.dumps({"t": text}) + "\n" for text in records), encoding="utf-8")
    assert tokenizer.count_file(lines, field="t", **options) == sum(lengths)
    assert list(map(len, tokenizer.encode_file(lines, field="t", **options))) == lengths


@pytest.mark.filterwarnings("ignore:the text begins with")
@given(strategies.texts() | st.sampled_from(TEXTS[:5]), st.integers(0, 8), options())
def test_what_is_kept_of_a_text_is_the_longest_that_fits(tokenizer, text, limit, options):
    text = text[:40].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    ends = options.get("bos", False) + options.get("eos", False)
    if limit < ends:
        with pytest.raises(ValueError, match=f"max_tokens is {limit}, and BOS and EOS alone are"):
            tokenizer.truncate(text, limit, **options)
        return
    places = range(len(text) + 1)
    for side, parts in (
        ("right", (text[:at] for at in reversed(places))),
        ("left", (text[at:] for at in places)),
    ):
        longest = next(part for part in parts if tokenizer.count(part, **options) <= limit)
        assert tokenizer.truncate(text, limit, side=side, **options) == longest


def test_disallowed_special_tokens_are_refused_by_each_call(tokenizer, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a<|eot_id|>b")
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"t": "a<|eot_id|>b"}')
    text, no = "a<|eot_id|>b", {"disallowed_special": "all"}
    calls = [
        lambda **options: tokenizer.encode(text, **options),
        lambda **options: tokenizer.encode_array(text, **options),
        lambda **options: tokenizer.encode_batch([text], **options),
        lambda **options: tokenizer.encode_ragged([text], **options),
        lambda **options: tokenizer.encode_with_offsets(text, **options),
        lambda **options: tokenizer.explain(text, **options),
        lambda **options: tokenizer.count(text, **options),
        lambda **options: tokenizer.count_batch([text], **options),
        lambda **options: tokenizer.truncate(text, 100, **options),
        lambda **options: tokenizer.count_file(path, **options),
        lambda **options: tokenizer.count_files([path], **options),
        lambda **options: tokenizer.count_file(lines, field="t", **options),
        lambda **options: tokenizer.encode_file(path, **options),
        lambda **options: list(tokenizer.encode_files([path], **options)),
        lambda **options: list(tokenizer.stream_file(path, **options)),
    ]
    for call in calls:
        with pytest.raises(SpecialTokenError) as caught:
            call(**no)
        assert (caught.value.token, caught.value.offset) == ("<|eot_id|>", 1)
        call(allowed_special="all", **no)
        for wrong in ({"bos": 1}, {"eos": None}, {"allowed_special": "<|eot_id|>"}):
            with pytest.raises(TypeError, match=next(iter(wrong))):
                call(**wrong)
        with pytest.raises(SpecialTokenError, match="'<x>' is not a special token|\"<x>\""):
            call(allowed_special={"<x>"})
        with pytest.raises(TypeError, match=r"\w+\(\) has no option 'add_bos'; it is bos=True"):
            call(add_bos=True)
        with pytest.raises(TypeError, match="'nothing'; its options are bos, eos, allowed_special"):
            call(nothing=1)


def test_bos_and_eos_of_a_folder_without_them_are_errors(tokenizer, tmp_path):
    bare = {"<|a|>": 128000}
    from llama3_tok import vocabulary
    from llama3_tok._core import Content

    data = Path(tokenizer.vocabulary).read_bytes()
    other = Tokenizer.of(vocabulary.with_names(Content(data), tokenizer.vocabulary, bare))
    for call, name in itertools.product((other.count, other.encode), ("bos", "eos")):
        with pytest.raises(llama3_tok.Llama3TokError, match=f"this tokenizer has no {name} token"):
            call("a", **{name: True})
    with pytest.raises(llama3_tok.Llama3TokError, match="this tokenizer has no bos token"):
        other.truncate("a", 5, bos=True)
    # It is about the tokenizer, and not about one of the texts or files.
    path = tmp_path / "a.txt"
    path.write_text("a")
    for call in (
        lambda: other.encode_batch(["a", "b"], bos=True),
        lambda: other.encode_ragged(["a", "b"], bos=True),
        lambda: other.count_batch(["a", "b"], bos=True),
        lambda: other.encode_file(path, bos=True),
        lambda: other.count_files([path], bos=True),
    ):
        with pytest.raises(llama3_tok.Llama3TokError, match="^this tokenizer has no bos token"):
            call()


def test_special_tokens_with_names_beyond_ascii_can_be_allowed(tokenizer):
    other = tokenizer.with_special_tokens({"<｜User｜>": 128002})
    assert other.encode("<｜User｜>", allowed_special={"<｜User｜>"}) == [128002]
    assert other.count("<｜User｜>", allowed_special={"<｜User｜>"}) == 1
    with pytest.raises(SpecialTokenError):
        other.encode("a", allowed_special={"\ud800"})


def test_the_length_of_a_tokenizer_is_how_many_ids_there_are(tokenizer):
    assert len(tokenizer) == tokenizer.vocab_size == 128256
    assert len(Tokenizer(profile="llama3.2-vision")) == 128257


def test_an_encoding_can_be_indexed_and_has_its_tokens(tokenizer):
    text = "Việt Nam <b>&amp;</b>\n漢"
    encoding = tokenizer.encode_with_offsets(text, bos=True, eos=True)
    assert list(encoding) == encoding.ids.tolist()
    assert (encoding[0], encoding[-1]) == (128000, 128001)
    assert type(encoding[0]) is int
    assert encoding[1:3].dtype == np.uint32
    assert encoding.tokens[0] == b"<|begin_of_text|>"
    assert encoding.tokens[-1] == b"<|end_of_text|>"
    assert b"".join(encoding.tokens[1:-1]) == text.encode()
    for index in (len(encoding), -len(encoding) - 1):
        with pytest.raises(IndexError, match="out of range"):
            encoding[index]
    odd = tokenizer.encode_with_offsets("a\ud83d\ude00\udc00")
    assert b"".join(odd.tokens) == "a\U0001f600\ufffd".encode()
    raw = tokenizer.encode_with_offsets(b"a\xff")
    assert b"".join(raw.tokens) == b"a\xff"


def test_an_encoding_shows_itself_in_a_notebook_and_escapes_what_it_shows(tokenizer):
    text = "<script>alert('&')</script> a\tb\n\x00漢𠮷"
    shown = tokenizer.encode_with_offsets(text)._repr_html_()
    assert "<script" not in shown
    assert "&lt;" in shown
    assert "⟨U+0000⟩" in shown
    assert "·" in shown
    assert "↵" in shown
    assert shown.count("<span") == len(tokenizer.encode(text))
    long = tokenizer.encode_with_offsets("a b " * 5000)._repr_html_()
    assert "more" in long
    assert long.count("<span") == 2000


MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]


def test_conversations_come_as_arrays(tokenizer):
    ids, mask = tokenizer.encode_chat(MESSAGES, return_mask=True)
    array, other = tokenizer.encode_chat_array(MESSAGES, return_mask=True)
    assert array.dtype == np.uint32
    assert array.tolist() == ids == tokenizer.encode_chat_array(MESSAGES).tolist()
    assert other.dtype == mask.dtype == np.uint8
    assert other.tolist() == mask.tolist()
    with pytest.raises(
        TypeError, match=r"encode_chat_array\(\) has no option 'return_tensors'; enc"
    ):
        tokenizer.encode_chat_array(MESSAGES, return_tensors="np")
    template = (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    )
    own = tokenizer.with_special_tokens({}, chat_template=template)
    array, mask = own.encode_chat_array(MESSAGES, return_mask=True)
    assert array.tolist() == own.encode_chat(MESSAGES) == own.encode_chat_array(MESSAGES).tolist()
    assert set(mask.tolist()) == {1}


def test_the_header_of_an_answer_follows_unless_an_answer_is_last(tokenizer):
    header = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    for messages, follows in ((MESSAGES[:1], True), (MESSAGES, False)):
        text = tokenizer.render_chat(messages)
        assert text.endswith(header) == follows
        assert text == tokenizer.render_chat(messages, add_generation_prompt=follows)
        assert text == tokenizer.render_chat(messages, add_generation_prompt=None)
        opposite = tokenizer.render_chat(messages, add_generation_prompt=not follows)
        assert opposite.endswith(header) != follows
    own = tokenizer.with_special_tokens({}, chat_template="{{ add_generation_prompt }}")
    assert own.render_chat(MESSAGES) == "False"
    assert own.render_chat(MESSAGES[:1]) == "True"
    with pytest.raises(TypeError, match="add_generation_prompt must be a bool, not int"):
        tokenizer.encode_chat(MESSAGES, add_generation_prompt=1)


def test_flags_are_python_booleans_and_the_error_names_any_other_kind(tokenizer, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a")
    # The arguments that each call needs besides.
    calls = {
        tokenizer.__call__: ("a",),
        tokenizer.count: ("a",),
        tokenizer.count_chat: (MESSAGES,),
        tokenizer.count_batch: (["a"],),
        tokenizer.count_file: (path,),
        tokenizer.count_files: ([path],),
        tokenizer.decode: ([64],),
        tokenizer.decode_batch: ([[64]],),
        tokenizer.decode_bytes: ([64],),
        tokenizer.encode: ("a",),
        tokenizer.encode_array: ("a",),
        tokenizer.encode_batch: (["a"],),
        tokenizer.encode_chat: (MESSAGES,),
        tokenizer.encode_chat_array: (MESSAGES,),
        tokenizer.encode_file: (path,),
        tokenizer.encode_files: ([path],),
        tokenizer.encode_ragged: (["a"],),
        tokenizer.encode_with_offsets: ("a",),
        tokenizer.explain: ("a",),
        tokenizer.encoder: (),
        tokenizer.fit_chat: (MESSAGES, 100),
        tokenizer.merge: ("a",),
        tokenizer.assistant_stream: (),
        tokenizer.parse_assistant: ("a",),
        tokenizer.render_chat: (MESSAGES,),
        tokenizer.split: ("a", 5),
        tokenizer.stream_decoder: (),
        tokenizer.stream_file: (path,),
        tokenizer.truncate: ("a", 5),
        llama3_tok.assistant_stream: (),
        llama3_tok.count: ("a",),
        llama3_tok.decode: ([64],),
        llama3_tok.encode: ("a",),
        llama3_tok.parse_assistant: ("a",),
        convert.convert: (tokenizer.vocabulary, str(tmp_path / "out.model")),
        report.parity: ([path],),
        torch.convert_checkpoint: (tmp_path, tmp_path / "out"),
        torch.plan_checkpoint: (tmp_path, tmp_path / "out"),
    }
    methods = [
        method
        for name, method in inspect.getmembers(tokenizer, callable)
        if name == "__call__" or not name.startswith("_")
    ]
    functions = [
        getattr(module, name)
        for module in (llama3_tok, convert, report, torch.checkpoint)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    ]
    assert {call for call in methods + functions if list(flags.of(call))} == set(calls)
    for call, arguments in calls.items():
        flags.refuse_all_else(call, *arguments)


def test_flags_of_training_data_are_python_booleans(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    column = pyarrow.array(["a"])
    calls = {
        data.corpus: ([], tmp_path / "corpus"),
        data.count_arrow: (column,),
        data.encode_arrow: (column,),
        data.count_chats: ([MESSAGES],),
        data.encode_chats: ([MESSAGES],),
    }
    functions = [getattr(data, name) for name in data.__all__]
    functions = [function for function in functions if inspect.isfunction(function)]
    assert {call for call in functions if list(flags.of(call))} == set(calls)
    for call, arguments in calls.items():
        flags.refuse_all_else(call, *arguments)


def test_system_messages_alone_that_do_not_fit_are_an_error(tokenizer):
    messages = [{"role": "system", "content": "x " * 100}]
    with pytest.raises(ChatFormatError, match="max_tokens: the system messages have"):
        tokenizer.fit_chat(messages, 5)


def test_the_warning_of_a_second_bos_is_about_the_callers_line(tokenizer):
    text = "<|begin_of_text|>a"
    given = {"bos": True, "allowed_special": "all"}
    for call in (
        lambda: llama3_tok.encode(text, **given),
        lambda: llama3_tok.count(text, **given),
        lambda: tokenizer.encode(text, **given),
        lambda: tokenizer.encode_batch([text], **given),
    ):
        with pytest.warns(UserWarning, match="adds a second one") as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]


def test_a_missing_extra_can_be_pickled():
    error = llama3_tok.MissingExtra("jinja2", "transformers")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.package, again.extra) == ("jinja2", "transformers")


def test_a_message_that_is_no_dictionary_is_named_where_a_template_is_run(tokenizer):
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ChatFormatError, match=r"^messages\[1\]: must be a dictionary, not str$"):
        tokenizer.encode_chat([MESSAGES[0], "x"], chat_template=template)
    with pytest.raises(TypeError, match="template_variables must have names"):
        tokenizer.encode_chat(MESSAGES, chat_template=template, template_variables={5: 6})


def test_batches_equal_themselves_alone_and_streams_are_not_copied(tokenizer):
    padded = tokenizer.pad([[1, 2], [3]])
    assert padded == padded
    assert padded != tokenizer.pad([[1, 2], [3]])
    with pytest.raises(TypeError, match="has a state and can't be copied"):
        copy.copy(tokenizer.stream_decoder())


@pytest.mark.parametrize("name", ["max_bytes", "max_ratio"])
def test_limits_of_packed_files_are_from_one_to_what_the_core_counts_with(
    tokenizer, tmp_path, name
):
    path = tmp_path / "hello.txt"
    path.write_text("Hello")
    for limit in (1, 5, 2**63 - 1, None):
        assert tokenizer.count_file(path, **{name: limit}) == 1
    for limit, reason in ((0, "at least 1"), (2**63, f"at most {2**63 - 1}")):
        with pytest.raises(ValueError, match=f"{name} must be {reason}, not {limit}"):
            tokenizer.count_file(path, **{name: limit})


def test_what_only_equals_a_choice_is_refused():
    class Name(str):
        pass

    llama3_tok.arguments.choice("left", "side", ("left", None))
    llama3_tok.arguments.choice(None, "side", ("left", None))
    for value in (Name("left"), "Left", 0, False):
        with pytest.raises(ValueError, match="side must be one of 'left', 0.0, not "):
            llama3_tok.arguments.choice(value, "side", ("left", 0.0))


def test_a_long_value_is_quoted_by_its_beginning():
    assert llama3_tok.arguments.quoted("a" * 198) == repr("a" * 198)
    assert llama3_tok.arguments.quoted("a" * 500) == "'" + "a" * 199 + "..."
    assert llama3_tok.arguments.quoted(["b"]) == "['b']"


def test_numpy_is_loaded_when_it_is_asked_for_and_before_the_core_asks():
    code = (
        "import sys; from llama3_tok import arguments; before = 'numpy' in sys.modules; "
        "arguments.load_numpy(); print(before, 'numpy' in sys.modules, arguments.has_numpy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
