"""What the deltas of an answer tell, put together by nothing but their description."""

import json

from llama3_tok import (
    AnswerEnd,
    AssistantMessage,
    CallArguments,
    CallDropped,
    CallEnd,
    CallStart,
    ContentDelta,
    ToolCall,
)


def told(stream, parts):
    """All deltas of an answer, its end the last, after a look at how they follow each other."""
    deltas = [delta for part in parts for delta in stream.push(part)]
    assert not any(isinstance(delta, AnswerEnd) for delta in deltas)
    deltas += stream.finish()
    assert isinstance(deltas[-1], AnswerEnd)
    open_, closed = [], []
    for delta in deltas:
        match delta:
            case ContentDelta(text):
                assert text
            case CallStart(index, id):
                assert index == len(open_) + len(closed)
                assert id.startswith("call_")
                open_.append(index)
            case CallArguments(index, text):
                assert text
                assert index == open_[-1]
            case CallEnd(index) | CallDropped(index):
                open_.remove(index)
                closed.append(index)
    assert open_ == []
    return deltas


def put_together(deltas):
    """The answer that deltas tell, by nothing but their description."""
    content, starts, arguments, ended = "", {}, {}, []
    for delta in deltas:
        match delta:
            case ContentDelta(text):
                content += text
            case CallStart(index):
                starts[index], arguments[index] = delta, ""
            case CallArguments(index, text):
                arguments[index] += text
            case CallEnd(index):
                ended.append(index)
    assert ended == sorted(ended)
    calls, code = [], None
    for index in ended:
        start, values = starts[index], json.loads(arguments[index])
        if start.kind == "code":
            assert (start.name, list(values)) == ("code_interpreter", ["code"])
            code = values["code"]
        else:
            calls.append(ToolCall(start.name, values, start.kind))
    end = deltas[-1]
    return AssistantMessage(content, tuple(calls), code, end.stop_reason, end.problem)


def joined(text):
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def same(told, whole):
    """Whether two answers are the same; JSON has no surrogate pairs besides characters."""
    assert told.content == whole.content
    assert told.code == (whole.code if whole.code is None else joined(whole.code))
    assert told.tool_calls == whole.tool_calls
    assert (told.stop_reason, told.problem) == (whole.stop_reason, whole.problem)
