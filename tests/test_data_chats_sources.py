"""Conversations in bulk from files and Arrow, and by chat templates that are run."""

import gzip
import json

import pytest

from conversations import ANSWER, CALL, USER, many
from llama3_tok import ChatFormatError, InputError, Tokenizer
from llama3_tok.data import encode_chats, sources
from text_files import written

# Files


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_the_rows_of_a_file_are_those_of_a_list(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_CHUNK", 1000)
    rows = [{"messages": messages, "id": at} for at, messages in enumerate(many())]
    expected = encode_chats(rows, carry=["id"])
    path = written(tmp_path / name, lines(rows).replace(b"\n", b"\n\n \r\n"))
    for given in (path, str(path)):
        chats = encode_chats(given, carry=["id"])
        assert chats.ids.ids.tolist() == expected.ids.ids.tolist()
        assert chats.mask.tolist() == expected.mask.tolist()
        assert chats.rows.tolist() == expected.rows.tolist()
        assert chats.columns == expected.columns


def test_a_bad_line_is_named_with_its_file(tmp_path):
    path = tmp_path / "a.jsonl"
    good = lines([{"messages": [USER, ANSWER]}])
    bad = [
        b'{"messages": [}\n',
        lines([{"messages": [{**USER, "mask": 1}]}]),
        b'["\xff"]\n',
        b"NaN\n",
    ]
    path.write_bytes(good + b"\n" + bad[0] + good + b"".join(bad[1:]) + good.rstrip())
    chats = encode_chats(path, on_error="skip")
    assert chats.rows.tolist() == [0, 2, 6]
    found = [(one.row, one.line, one.reason) for one in chats.skipped]
    assert found[0] == (1, 3, "the line is not valid JSON: expecting value at column 15")
    assert found[1][:2] == (3, 5)
    assert found[1][2].startswith("messages[0].mask: looks like a mark")
    assert found[2] == (4, 6, "the line is not valid JSON: it is not UTF-8")
    assert found[3] == (5, 7, "the line is not valid JSON: JSON has no NaN")
    with pytest.raises(InputError) as caught:
        encode_chats(path)
    error = caught.value
    assert (error.path, error.line, error.reason) == (str(path), *found[0][1:])
    assert str(error) == f"{path}, line 3: {found[0][2]}"
    assert isinstance(error.__cause__, ChatFormatError)
    assert error.__cause__.row == 1


def test_a_file_that_can_not_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.jsonl"):
        encode_chats(tmp_path / "missing.jsonl")
    damaged = tmp_path / "a.jsonl.gz"
    damaged.write_bytes(gzip.compress(lines([{"messages": [USER]}] * 1000))[:-20])
    for on_error in ("stop", "skip"):
        with pytest.raises((InputError, OSError), match=r"a\.jsonl\.gz"):
            encode_chats(damaged, on_error=on_error)


# Arrow


@pytest.fixture
def pyarrow():
    return pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")


def arrow_rows():
    """Conversations as a table has them, some without tools, calls or content."""
    result = {"role": "tool", "content": "r"}
    call = {"role": "assistant", "tool_calls": [CALL]}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    return [
        {"messages": [USER, ANSWER], "id": 1},
        {"messages": [USER, call, result, {**ANSWER, "weight": 0}], "tools": tools, "id": 2},
        {"messages": [{"role": "system", "content": "Việt 漢字"}, USER, {**ANSWER, "weight": 1}]},
        {"messages": [{**USER, "content": "x" * 50}, ANSWER], "tools": [], "id": 4},
    ] * 30


def arrow_schema(pyarrow):
    """Of these rows: Arrow would sort fields, and tools and calls are written in their order."""
    text = pyarrow.string()
    struct = pyarrow.struct
    arguments = struct([("a", pyarrow.list_(pyarrow.int64())), ("b", text)])
    call = struct(
        [("type", text), ("function", struct([("name", text), ("arguments", arguments)]))]
    )
    message = struct(
        [
            ("role", text),
            ("content", text),
            ("tool_calls", pyarrow.list_(call)),
            ("weight", pyarrow.float64()),
        ]
    )
    function = struct([("name", text), ("parameters", struct([("type", text)]))])
    tool = struct([("type", text), ("function", function)])
    return pyarrow.schema(
        [
            ("messages", pyarrow.list_(message)),
            ("tools", pyarrow.list_(tool)),
            ("id", pyarrow.int64()),
        ]
    )


def check_arrow(given, rows, **options):
    expected = encode_chats(rows, **options)
    chats = encode_chats(given, **options)
    assert chats.ids.ids.tolist() == expected.ids.ids.tolist()
    assert chats.ids.offsets.tolist() == expected.ids.offsets.tolist()
    assert chats.mask.tolist() == expected.mask.tolist()
    assert chats.rows.tolist() == expected.rows.tolist()
    assert chats.columns == expected.columns


@pytest.mark.parametrize("rows_at_once", [7, 1000])
def test_a_table_of_arrow_is_read_as_its_rows(pyarrow, rows_at_once, monkeypatch):
    monkeypatch.setattr(sources, "_ROWS", rows_at_once)
    rows = arrow_rows()
    table = pyarrow.Table.from_pylist(rows, arrow_schema(pyarrow))
    check_arrow(table, rows, carry=["id"])
    check_arrow(table.slice(5, 40), rows[5:45], carry=["id"])
    parts = pyarrow.concat_tables([table.slice(0, 33), table.slice(33)])
    check_arrow(parts, rows)
    check_arrow(parts.combine_chunks().to_batches()[0], rows)
    reader = pyarrow.RecordBatchReader.from_batches(parts.schema, parts.to_batches())
    check_arrow(reader, rows)


def test_a_column_of_arrow_is_read_as_lists_of_messages(pyarrow):
    rows = [row["messages"] for row in arrow_rows()]
    column = pyarrow.array(rows, arrow_schema(pyarrow).field("messages").type)
    check_arrow(column, rows)
    check_arrow(column.slice(2, 50), rows[2:52])
    check_arrow(pyarrow.chunked_array([column.slice(0, 1), column.slice(1)]), rows)


@pytest.mark.parametrize("kind", ["large_string", "string_view", "dictionary", "fixed"])
def test_columns_of_other_types_are_read(pyarrow, kind):
    rows = many(count=40)
    rows = [
        [message for message in row if isinstance(message.get("content"), str)][:1] for row in rows
    ]
    text = {
        "large_string": pyarrow.large_string(),
        "string_view": pyarrow.string_view(),
        "dictionary": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
        "fixed": pyarrow.string(),
    }[kind]
    struct = pyarrow.struct([("role", text), ("content", text)])
    column = pyarrow.array(
        rows, pyarrow.list_(struct, 1) if kind == "fixed" else pyarrow.large_list(struct)
    )
    check_arrow(column, rows)
    check_arrow(column[3:], rows[3:])


def test_rows_of_arrow_that_are_null_are_named(pyarrow):
    rows = [[USER], None, [USER, None]]
    chats = encode_chats(pyarrow.array(rows), on_error="skip")
    assert chats.rows.tolist() == [0]
    assert [(one.row, one.reason) for one in chats.skipped] == [
        (1, "messages: must be a list, not NoneType"),
        (2, "messages[1]: must be a dictionary, not NoneType"),
    ]


# Templates of a folder

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|eot_id|>{% endgeneration %}{% else %}{{ m.content }}"
    "<|eot_id|>{% endif %}{% endfor %}{% for d in documents or [] %}{{ d.text }}{% endfor %}"
    "{% for t in tools or [] %}{{ t.name }}{% endfor %}"
)


def test_a_template_of_a_folder_is_run_for_each(tokenizer):
    pytest.importorskip("jinja2", reason="jinja2, of the extra `transformers`, is not installed")
    own = tokenizer.with_special_tokens({}, chat_template=TEMPLATE)
    messages = [USER, ANSWER, {**USER, "content": "<|eot_id|>"}, {**ANSWER, "content": "Bye."}]
    rows = [
        messages,
        {"messages": [USER, ANSWER], "documents": [{"text": "doc"}], "tools": [{"name": "tool"}]},
        [USER],
    ]
    chats = encode_chats(rows, tokenizer=own)
    for encoded, row in zip(chats, rows, strict=True):
        options = dict(row) if isinstance(row, dict) else {"messages": row}
        ids, mask = own.encode_chat(
            options.pop("messages"), return_mask=True, add_generation_prompt=False, **options
        )
        assert encoded.ids.tolist() == ids
        assert encoded.mask.tolist() == mask.tolist()
    assert chats.unlearned == [2]
    plain = encode_chats(rows, tokenizer=own, return_mask=False)
    assert plain.ids.ids.tolist() == chats.ids.ids.tolist()

    def learned(messages, learn):
        one = encode_chats([messages], tokenizer=own, learn=learn)[0]
        return tokenizer.decode(one.ids[one.mask == 1])

    assert learned(messages, "assistant") == "Hello.<|eot_id|>Bye.<|eot_id|>"
    assert learned(messages, "last") == "Bye.<|eot_id|>"
    assert learned(messages, "all") == own.render_chat(messages, add_generation_prompt=False)
    messages[1] = {**ANSWER, "weight": 0}
    assert learned(messages, "assistant") == "Bye.<|eot_id|>"
    assert learned(messages, "all") == (
        "<|begin_of_text|>user\nHi<|eot_id|>assistant\nuser\n<|eot_id|><|eot_id|>assistant\n"
        "Bye.<|eot_id|>"
    )
    messages[0] = {**USER, "weight": 0}
    assert learned(messages, "assistant") == "Bye.<|eot_id|>"
    with pytest.raises(ChatFormatError, match=r"^row 0: messages\[0\]: is not to be learned, and"):
        learned(messages, "all")
    fitted = encode_chats([[USER, ANSWER] * 9], tokenizer=own, max_tokens=40, overflow="fit")
    assert fitted.fitted == [0]
    assert 30 < len(fitted.ids.ids) <= 40
    assert fitted.learned_tokens % 3 == 0


def test_a_template_that_tells_no_masks_is_refused_as_by_encode_chat(tokenizer):
    pytest.importorskip("jinja2", reason="jinja2, of the extra `transformers`, is not installed")
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    own = tokenizer.with_special_tokens({}, chat_template=template)
    with pytest.raises(ChatFormatError, match="^row 0: this chat template does not say which tok"):
        encode_chats([[USER, ANSWER]], tokenizer=own)
    assert tokenizer.decode(encode_chats([[USER, ANSWER]], tokenizer=own, learn="all").ids.ids) == (
        "HiHello."
    )
    once = "{% generation %}{% for m in messages %}{{ m.content }}{% endfor %}{% endgeneration %}"
    own = tokenizer.with_special_tokens({}, chat_template=once)
    assert encode_chats([[USER, ANSWER] * 2], tokenizer=own).learned_tokens > 0
    with pytest.raises(ChatFormatError, match="makes 1 {% generation %} blocks for 2 messages"):
        encode_chats([[USER, ANSWER] * 2], tokenizer=own, learn="last")
    bare = Tokenizer.from_bytes(tokenizer.rank_file(), all_special_tokens={"<a>": 128000})
    with pytest.raises(ChatFormatError, match="this tokenizer has no chat template"):
        encode_chats([[USER, ANSWER]], tokenizer=bare)
