"""Conversations in bulk: the ids and masks of `encode_chat`, whatever the rows come from."""

import _thread
import itertools
import json
import pickle
import random
import threading
import time

import numpy as np
import pytest

from conftest import EXAMPLES
from conversations import ANSWER, PROFILES, USER, made, many
from llama3_tok import ChatFormatError, Llama3TokError, Ragged, Tokenizer
from llama3_tok.data import encode_chats, pack, sources


def alone(tokenizer, messages, **options):
    options.setdefault("add_generation_prompt", False)
    return tokenizer.encode_chat(messages, return_mask=True, **options)


def check_same(chats, tokenizer, conversations):
    assert len(chats) == len(conversations)
    assert chats.ids.ids.dtype == np.uint32
    assert chats.ids.offsets.dtype == chats.rows.dtype == np.int64
    assert (chats.mask.dtype, chats.labels.dtype) == (np.uint8, np.int32)
    for encoded, messages in zip(chats, conversations, strict=True):
        ids, mask = alone(tokenizer, messages)
        assert encoded.ids.tolist() == ids
        assert encoded.mask.tolist() == mask.tolist()
        labels = [id if learned else -100 for id, learned in zip(ids, mask, strict=True)]
        assert encoded.labels.tolist() == labels


@pytest.mark.parametrize("profile", PROFILES)
def test_ids_and_masks_are_those_of_encode_chat(profile):
    tokenizer = Tokenizer(profile=profile)
    for seed in range(max(EXAMPLES // 4, 50)):
        messages, options = made(seed, profile)
        ids, mask = alone(tokenizer, messages, **options)
        tools = options.pop("tools", None)
        row = {"messages": messages, "tools": tools if seed % 2 else json.dumps(tools)}
        # Beside others, of which one can't be encoded.
        rows = [{"messages": []}, row, {"messages": [USER]}]
        options.pop("tools_in", None) if tools is None else None
        if "tools_in" in options:
            rows = rows[:2]
        chats = encode_chats(rows, tokenizer=tokenizer, on_error="skip", **options)
        assert chats[0].ids.tolist() == ids
        assert chats[0].mask.tolist() == mask.tolist()
        assert chats.rows.tolist() == list(range(1, len(rows)))
        assert [one.row for one in chats.skipped] == [0]


@pytest.mark.parametrize("profile", PROFILES)
def test_many_at_once_are_what_each_is_alone(profile, monkeypatch):
    tokenizer, conversations = Tokenizer(profile=profile), many(profile)
    whole = encode_chats(conversations, tokenizer=tokenizer)
    check_same(whole, tokenizer, conversations)
    assert whole.rows.tolist() == list(range(len(conversations)))
    for rows, threads in ((7, 1), (7, 2), (64, None), (1, 2)):
        monkeypatch.setattr(sources, "_ROWS", rows)
        again = encode_chats(iter(conversations), tokenizer=tokenizer, threads=threads)
        assert again.ids.ids.tolist() == whole.ids.ids.tolist()
        assert again.ids.offsets.tolist() == whole.ids.offsets.tolist()
        assert again.mask.tolist() == whole.mask.tolist()
        assert again.rows.tolist() == whole.rows.tolist()
        assert again.unlearned == whole.unlearned


def spans(tokenizer, messages):
    """Of each message: where it begins, where what its speaker writes begins, where it ends.

    By encoding what is before it, with and without the header of an answer.
    """
    found = []
    for index, message in enumerate(messages):
        end = len(tokenizer.encode_chat(messages[: index + 1], add_generation_prompt=False))
        if index:
            start = len(tokenizer.encode_chat(messages[:index], add_generation_prompt=False))
        else:  # after BOS and the dates that the template writes by itself
            heads = [at for at, id in enumerate(tokenizer.encode_chat(messages)) if id == 128006]
            has_dates = tokenizer.profile not in ("llama3", "meta")
            start = heads[1] if message["role"] != "system" and has_dates else heads[0]
        content = None
        if index and message["role"] == "assistant":
            content = len(tokenizer.encode_chat(messages[:index], add_generation_prompt=True))
        elif message["role"] == "assistant":
            content = start + 4  # the header is four tokens
        found.append((start, content, end))
    return found


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2", "meta"])
def test_what_is_learned_is_told_message_by_message(profile):
    tokenizer = Tokenizer(profile=profile)
    for seed, messages in enumerate(many(profile, max(EXAMPLES // 4, 50))):
        dice = random.Random(seed)
        marked, kept = [], []
        for message in messages:
            is_answer = message["role"] == "assistant"
            mark = dice.choice([{}, {"weight": 0}, {"train": False}, {"weight": None}])
            if is_answer and not mark:
                mark = dice.choice([{}, {"weight": 1}, {"train": True}])
            marked.append({**message, **mark})
            kept.append(0 not in mark.values())
        places = spans(tokenizer, messages)
        answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
        size = places[-1][2]
        by_assistant, by_last, by_all = [0] * size, [0] * size, [1] * size
        for at, (start, content, end) in enumerate(places):
            if at in answers and kept[at]:
                by_assistant[content:end] = [1] * (end - content)
                if at == answers[-1]:
                    by_last[content:end] = [1] * (end - content)
            if not kept[at]:
                by_all[start:end] = [0] * (end - start)
        for learn, mask in (("assistant", by_assistant), ("last", by_last), ("all", by_all)):
            # Beside one without marks, before it and after.
            chats = encode_chats([messages, marked, messages], tokenizer=tokenizer, learn=learn)
            assert chats[1].ids.tolist() == tokenizer.encode_chat(
                messages, add_generation_prompt=False
            )
            assert chats[1].mask.tolist() == mask
            plain = alone(tokenizer, messages)[1].tolist()
            if learn == "all":
                plain = [1] * size
            elif learn == "last" and answers:
                _, content, end = places[answers[-1]]
                plain = [int(content <= at < end) for at in range(size)]
            assert chats[0].mask.tolist() == chats[2].mask.tolist() == plain
            rows = [at for at, one in enumerate((plain, mask, plain)) if not any(one)]
            assert chats.unlearned == rows
            assert chats.learned_tokens == 2 * sum(plain) + sum(mask)


def test_a_mask_is_not_made_if_nobody_asks():
    chats = encode_chats([[USER, ANSWER]], return_mask=False)
    assert chats.mask is chats[0].mask is chats[0].labels is None
    assert chats.learned_tokens == 0
    assert chats.unlearned == []
    with pytest.raises(ValueError, match="there are no labels: encode_chats was called with retur"):
        _ = chats.labels


def test_conversations_in_which_nothing_is_learned_are_counted():
    silent = [USER, {**ANSWER, "weight": 0}]
    chats = encode_chats([[USER], [USER, ANSWER], silent])
    assert chats.unlearned == [0, 2]
    assert chats.counts["unlearned"] == 2
    assert "2 unlearned" in repr(chats)


def test_options_are_those_of_encode_chat(tokenizer):
    tools = [{"type": "function", "function": {"name": "f"}}]
    for options in (
        {"tools": iter(tools)},
        {"tools": tools, "tools_in": "system"},
        {"date": "1 Jan 2030"},
        {"builtin_tools": ["brave_search"]},
        {"dialect": "meta"},
        {"add_generation_prompt": True},
        {"add_generation_prompt": None},
        {"continue_final_message": True},
    ):
        kept = {**options, **({"tools": tools} if "tools" in options else {})}
        chats = encode_chats([[USER, ANSWER], [USER]], **options)
        for encoded, messages in zip(chats, [[USER, ANSWER], [USER]], strict=True):
            assert encoded.ids.tolist() == alone(tokenizer, messages, **kept)[0]
    with pytest.raises(TypeError, match=r"encode_chats\(\) has no option 'return_tensors'"):
        encode_chats([[USER]], return_tensors="pt")
    with pytest.raises(ChatFormatError, match="documents: the format of this conversation has no"):
        encode_chats([], documents=[{"text": "x"}])


def test_a_row_has_its_own_tools_or_those_of_the_call(tokenizer):
    own, shared = ([{"type": "function", "function": {"name": name}}] for name in "fg")
    rows = [
        {"messages": [USER], "tools": own},
        {"messages": [USER]},
        {"messages": [USER], "tools": []},
    ]
    chats = encode_chats(rows, tools=shared)
    for encoded, tools in zip(chats, (own, shared, shared), strict=True):
        assert encoded.ids.tolist() == alone(tokenizer, [USER], tools=tools)[0]


def test_columns_are_carried_along_or_dropped():
    rows = [
        {"messages": [USER, ANSWER], "id": "a", "score": 1},
        {"messages": [], "id": "b", "score": 2},
        {"messages": [USER], "id": "c"},
    ]
    assert encode_chats(rows, on_error="skip").columns == {}
    chats = encode_chats(rows, on_error="skip", carry=["score", "id"])
    assert chats.columns == {"score": [1, None], "id": ["a", "c"]}
    assert encode_chats([], carry=["id"]).columns == {"id": []}


def test_nothing_gives_nothing():
    chats = encode_chats([])
    assert len(chats) == 0
    assert chats.ids.offsets.tolist() == [0]
    assert (len(chats.ids.ids), len(chats.mask), len(chats.rows)) == (0, 0, 0)
    assert repr(chats) == "EncodedChats(nothing)"
    with pytest.raises(IndexError, match="index 0 is out of range for 0 conversations"):
        chats[0]


# Too long


def lengths(tokenizer, conversations):
    return [len(alone(tokenizer, messages)[0]) for messages in conversations]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("profile", ["llama3.1", "llama3", "meta"])
def test_what_is_too_long_is_dropped_cut_or_fitted(profile, threads, monkeypatch):
    monkeypatch.setattr(sources, "_ROWS", 50)
    tokenizer, conversations = Tokenizer(profile=profile), many(profile, 200)
    sizes = lengths(tokenizer, conversations)
    most = int(np.median(sizes))
    given = {"tokenizer": tokenizer, "max_tokens": most, "threads": threads}
    long = [row for row, size in enumerate(sizes) if size > most]
    assert long

    dropped = encode_chats(conversations, overflow="drop", **given)
    assert dropped.dropped == long
    left = [row for row in range(len(sizes)) if row not in long]
    assert dropped.rows.tolist() == left
    check_same(dropped, tokenizer, [conversations[row] for row in left])

    cut = encode_chats(conversations, overflow="cut", **given)
    assert cut.cut == long
    assert cut.rows.tolist() == list(range(len(sizes)))
    for encoded, messages in zip(cut, conversations, strict=True):
        ids, mask = alone(tokenizer, messages)
        assert encoded.ids.tolist() == ids[:most]
        assert encoded.mask.tolist() == mask[:most].tolist()

    fitted = encode_chats(conversations, overflow="fit", on_error="skip", **given)
    for encoded in fitted:
        messages = conversations[encoded.row]
        kept = tokenizer.fit_chat(messages, most, add_generation_prompt=False)
        assert (encoded.row in fitted.fitted) == bool(kept.dropped)
        ids, mask = alone(tokenizer, kept.messages)
        assert encoded.ids.tolist() == ids
        assert len(ids) <= most
        assert encoded.mask.tolist() == mask.tolist()
    assert fitted.fitted
    assert sorted([*fitted.rows.tolist(), *(one.row for one in fitted.skipped)]) == list(
        range(len(sizes))
    )
    for one in fitted.skipped:
        assert one.row in long
        with pytest.raises(ChatFormatError) as caught:
            tokenizer.fit_chat(conversations[one.row], most, add_generation_prompt=False)
        assert one.reason == str(caught.value)

    refused = encode_chats(conversations, on_error="skip", **given)
    assert [one.row for one in refused.skipped] == long
    assert refused.rows.tolist() == left
    with pytest.raises(ChatFormatError, match=f"^row {long[0]}: max_tokens: the conversation has"):
        encode_chats(conversations, **given)


def test_what_is_fitted_keeps_its_marks_and_tools(tokenizer):
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = []
    for number in range(6):
        messages += [USER, {**ANSWER, "content": f"Answer {number}", "weight": number % 2}]
    row = {"messages": messages, "tools": tools}
    whole = len(encode_chats([row])[0].ids)
    chats = encode_chats([row, [USER, ANSWER]], max_tokens=whole - 20, overflow="fit")
    ids, mask = chats[0].ids, chats[0].mask
    text = tokenizer.decode(ids[mask == 1])
    assert chats.fitted == [0]
    assert text == "Answer 3<|eot_id|>Answer 5<|eot_id|>"
    assert '"name": "f"' in tokenizer.decode(ids)
    assert "Answer 2" in tokenizer.decode(ids)


def test_what_does_not_go_together_is_refused(tokenizer):
    for options, error, message in (
        ({"overflow": "cut"}, ValueError, "overflow='cut' needs max_tokens="),
        ({"max_tokens": 0}, ValueError, "max_tokens must be at least 1, not 0"),
        ({"overflow": "shorten"}, ValueError, "overflow must be one of 'error', 'drop', 'cut', 'f"),
        ({"learn": "user"}, ValueError, "learn must be one of 'assistant', 'last', 'all', not 'us"),
        ({"form": "openai"}, ValueError, "form must be one of 'messages', 'sharegpt', not 'opena"),
        ({"on_error": "ignore"}, ValueError, "on_error must be one of 'stop', 'skip', not 'ignor"),
        ({"return_mask": 1}, TypeError, "return_mask must be a bool, not int"),
        ({"carry": "id"}, TypeError, "carry must be a sequence, not one str"),
        ({"column": 1}, TypeError, "column must be a str or None, not int"),
        ({"tokenizer": 1}, TypeError, "tokenizer must be a Tokenizer or None, not int"),
        ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
        ({"dialect": "chatml"}, ValueError, "dialect must be one of 'hf', 'meta', not 'chatml'"),
    ):
        with pytest.raises(error) as caught:
            encode_chats([], **options)
        assert str(caught.value).startswith(message)
    for conversations in (5, USER, {USER["role"]}):
        with pytest.raises(TypeError, match="conversations must be "):
            encode_chats(conversations)


# What can't be encoded


def bad_rows():
    """Rows with what is wrong in them, found by reading, in Python, and in the core."""
    return {
        3: ([{**USER, "loss": 1}], "messages[0].loss: looks like a mark of what is learned"),
        5: ([USER, {"role": "narrator", "content": "x"}], 'messages[1].role: "narrator" is not a'),
        8: ([USER, {"role": "assistant"}], "messages[1].content: is missing"),
        11: ([], "messages: there are no messages"),
        12: (
            [USER, {"role": "tool", "content": "x"}],
            "messages[1].role: a tool's result needs its",
        ),
        13: ({"messages": [USER], "documents": [{}]}, "documents: the format of this conversation"),
        14: (
            {"messages": [USER], "tools": [5]},
            "tools[0]: must be a dictionary that describes th",
        ),
        15: (
            [USER, {**ANSWER, "tool_calls": [5]}],
            'messages[1].tool_calls[0]: must be {"type": "',
        ),
        17: ("text", "messages: must be a list, not str"),
    }


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_that_can_not_be_encoded_are_listed_or_the_first_one_raises(
    rows_at_once, threads, monkeypatch
):
    monkeypatch.setattr(sources, "_ROWS", rows_at_once)
    tokenizer, good, bad = Tokenizer(), many(count=20), bad_rows()
    rows = [bad[at][0] if at in bad else good[at] for at in range(20)]
    chats = encode_chats(rows, on_error="skip", threads=threads)
    left = [at for at in range(20) if at not in bad]
    assert chats.rows.tolist() == left
    check_same(chats, tokenizer, [rows[at] for at in left])
    assert [one.row for one in chats.skipped] == list(bad)
    for one in chats.skipped:
        assert one.line is None
        assert one.reason.startswith(bad[one.row][1])
        assert isinstance(one.error, ChatFormatError)
        assert str(one.error) == f"row {one.row}: {one.reason}"
        assert one.error.row == one.row
    assert chats.counts["skipped"] == len(bad)
    while bad:
        first = min(bad)
        with pytest.raises(ChatFormatError) as caught:
            encode_chats(rows, threads=threads)
        assert str(caught.value).startswith(f"row {first}: {bad[first][1]}")
        assert caught.value.row == first
        rows[first] = good[first]
        del bad[first]
    assert len(encode_chats(rows, threads=threads)) == 20


# Together with others


def test_labels_are_packed_beside_ids(tokenizer):
    conversations = many(count=200)
    chats = encode_chats(conversations)
    packed = pack(chats.ids, 1024, strategy="best-fit", labels=chats.labels, mask=chats.mask)
    for row in packed:
        learned = row.mask == 1
        assert (row.labels[learned] == row.input_ids[learned]).all()
        assert (row.labels[~learned] == -100).all()
    assert sum(int(row.mask.sum()) for row in packed) == chats.learned_tokens
    assert isinstance(chats.ids, Ragged)


def test_other_threads_run_while_the_core_works():
    long = [[USER, {**ANSWER, "content": "many different words " * 300_000}] for _ in range(8)]
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.perf_counter()
    try:
        encode_chats(long)
    finally:
        done.set()
        thread.join()
    took = time.perf_counter() - began
    gaps = np.diff([began, *ticks])
    assert took > 0.05
    assert max(gaps) < took / 2


def test_ctrl_c_ends_long_work():
    long = [[USER, {**ANSWER, "content": str(seed) + "abcdefg" * 2_000_000}] for seed in range(30)]
    for threads in (1, None):
        timer = threading.Timer(0.3, _thread.interrupt_main)
        endless = itertools.cycle(long)
        began = time.perf_counter()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            encode_chats(endless, threads=threads)
        assert time.perf_counter() - began < 5


def test_errors_of_this_package_are_of_one_kind():
    with pytest.raises(Llama3TokError):
        encode_chats([[]])


def test_an_error_keeps_its_place_in_a_pickle():
    with pytest.raises(ChatFormatError) as caught:
        encode_chats([[USER], [USER, 5]])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) == "row 1: messages[1]: must be a dictionary, not int"
    assert (again.row, again.index, again.field) == (1, 1, "")
    assert again.without_row == "messages[1]: must be a dictionary, not int"
