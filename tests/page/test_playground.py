"""`llama3-tok serve`: its server as other programs and pages meet it, and what it answers."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from cli import COMMAND, environment, fails
from playground_server import CORPUS, Server

pytest.importorskip("uvicorn", reason="uvicorn, of the extra `serve`, is not installed")

# As other programs and pages meet it


def test_it_listens_on_this_machine_alone_and_ctrl_c_ends_it():
    running = Server()
    assert running.request("GET", "/")[0] == 200
    table = Path("/proc/net/tcp")
    listening = table.read_text() if table.exists() else ""
    ours = [line.split()[1] for line in listening.splitlines()[1:]]
    assert not listening or f"0100007F:{running.port:04X}" in ours
    assert f"00000000:{running.port:04X}" not in ours
    code, said = running.stop()
    assert code == 130
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_said(server):
    assert f"port {server.port} can't be used" in fails("serve", "--port", str(server.port))
    assert "is not a port" in fails("serve", "--port", "70000")


@pytest.mark.parametrize("path", ["/", "/play.css", "/play.js", "/page.css", "/page.js", "/about"])
def test_every_answer_keeps_the_page_to_itself(server, path):
    status, headers, _ = server.request("GET", path)
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_another_name_for_this_address_is_refused(server, host):
    given = host.format(port=server.port)
    assert server.request("GET", "/", headers={"Host": given})[0] in (400, 403)


def test_both_of_its_own_names_are_taken(server):
    for host in ("127.0.0.1", "localhost"):
        given = f"{host}:{server.port}"
        assert server.request("GET", "/", headers={"Host": given})[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1:{port}"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({}, 200),
        ({"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_a_request_of_another_page_is_refused(server, headers, status):
    given = {"content-type": "application/json", **headers}
    given = {name: value.format(port=server.port) for name, value in given.items()}
    body = json.dumps({"tokenizer": "llama3.1", "text": "a"})
    found, _, answer = server.request("POST", "/tokens", body, given)
    assert found == status
    assert (b"error" in answer) == (status != 200)


@pytest.mark.parametrize("path", ["/tokens", "/explain", "/chat"])
def test_a_page_can_not_be_asked_by_an_address_alone(server, path):
    assert server.request("GET", path)[0] == 405
    assert server.request("GET", "/../../etc/passwd")[0] == 404


def test_a_request_that_is_too_large_is_refused_before_it_is_read():
    running = Server()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(
            b"POST /tokens HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" % running.port
        )
        block = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        with pytest.raises(OSError):  # noqa: PT011 - it hangs up, in one way or another
            connection.sendall(block * 64)
    assert running.request("GET", "/")[0] == 200
    running.stop()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"[" * 100_000, b'{"text": "\xff"}'])
def test_what_is_not_a_question_is_refused(server, body):
    status, _, answer = server.request(
        "POST", "/tokens", body, {"content-type": "application/json"}
    )
    assert (status, json.loads(answer)) == (400, {"error": "the request must be a JSON object"})


@pytest.mark.parametrize(
    ("name", "question", "said"),
    [
        ("tokens", {"text": 5}, "text must be"),
        ("tokens", {}, "text must be"),
        (
            "tokens",
            {"text": "a", "tokenizer": "../../etc"},
            "tokenizer must be one of llama3.1, llama3,",
        ),
        ("explain", {"text": "a"}, "byte must be"),
        ("explain", {"text": "a", "byte": 1}, "byte must be"),
        ("explain", {"text": "a", "byte": -1}, "byte must be"),
        ("explain", {"text": "ab", "byte": True}, "byte must be"),
        ("explain", {"text": "xq" * 60_000, "byte": 7}, "100,000 are explained"),
        ("tokens", {"text": "a", "most": "more"}, "most must be one of few, usual, all"),
        ("chat", {"messages": "hi"}, "messages must be a list"),
        ("chat", {"messages": [{"role": "bishop", "content": "hi"}]}, "bishop"),
        ("chat", {"messages": [{"role": "user", "content": "a"}], "tools": 7}, "tools"),
    ],
)
def test_a_question_that_makes_no_sense_is_an_error_with_a_reason(server, name, question, said):
    status, answer = server.ask(name, **question)
    assert status == 400
    assert said in answer["error"]


# What it answers


def test_the_answer_is_that_of_the_tokenizer(server, tokenizer):
    status, answer = server.ask("tokens", text=CORPUS)
    ids = tokenizer.encode(CORPUS)
    assert status == 200
    assert (answer["count"], answer["shown"]) == (len(ids), len(ids))
    assert (answer["bytes"], answer["characters"]) == (len(CORPUS.encode()), len(CORPUS))
    assert answer["mentions"] == ["<|eot_id|>"]
    first_rows = re.findall(r"<span class=r>(.*?)</span><span class=r>", answer["html"])
    assert [int(id) for row in first_rows for id in re.findall(r"data-id=(\d+)", row)] == ids
    allowed = server.ask("tokens", text=CORPUS, special=True, bos=True)[1]
    assert allowed["count"] == len(tokenizer.encode(CORPUS, allowed_special="all", bos=True))
    assert allowed["mentions"] == []


def test_llama2_stands_beside(server, llama2_path):
    from llama3_tok.report.llama2 import load

    answer = server.ask("tokens", text=CORPUS)[1]
    assert answer["llama2"]["count"] == len(load(llama2_path).encode(CORPUS))
    assert server.ask("tokens", text="word " * 50_000)[1]["llama2"]["count"] is None


def test_text_is_never_markup(server):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x00\"'"
    for name, question in (
        ("tokens", {"text": evil}),
        ("explain", {"text": evil, "byte": 0}),
        ("chat", {"messages": [{"role": "user", "content": evil}]}),
    ):
        status, answer = server.ask(name, **question)
        assert status == 200
        assert "<script" not in answer["html"]
        assert "<img" not in answer["html"]
        assert "\u202e" not in answer["html"]


def test_a_long_text_is_counted_whole_and_shown_in_part(server, tokenizer):
    text = "The cat sat. " * 80_000
    for most, shown in (("few", 250), ("usual", 3000), ("all", 20_000)):
        answer = server.ask("tokens", text=text, most=most)[1]
        assert answer["count"] == tokenizer.count(text)
        assert answer["shown"] == shown
        assert answer["html"].count("data-id=") == shown


def test_half_of_a_surrogate_pair_is_what_encode_makes_of_it(server, tokenizer):
    assert server.ask("tokens", text="a\ud800b")[1]["count"] == tokenizer.count("a\ud800b")


def test_the_pretoken_of_a_byte_is_explained(server):
    answer = server.ask("explain", text="in Việt Nam", byte=4)[1]
    assert (answer["start"], answer["end"]) == (2, 9)
    assert "merging alone would give 3 tokens instead: 11655 26298 83" in answer["html"]


def test_a_conversation_has_structure_and_what_is_learned(server, tokenizer):
    messages = [{"role": "user", "content": "<|eot_id|>"}, {"role": "assistant", "content": "Hi"}]
    answer = server.ask("chat", messages=messages, prompt=False)[1]
    ids, mask = tokenizer.encode_chat(messages, return_mask=True, add_generation_prompt=False)
    assert (answer["count"], answer["learned"]) == (len(ids), mask.sum())
    assert answer["html"].count("k-special") == sum(id >= 128000 for id in ids)
    assert answer["html"].count("k-learned") == mask.sum()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert server.ask("chat", messages=messages, tools=tools)[1]["count"] > len(ids)


def test_a_long_conversation_is_shown_in_part(server):
    messages = [{"role": "user", "content": "word " * 20_100}]
    status, answer = server.ask("chat", messages=messages)
    assert status == 200
    assert answer["count"] > answer["shown"] == 20_000


def test_headers_that_decide_stand_once(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /tokens HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://evil.example\r\n"
            b"Origin: http://127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\n\r\n{}" % (server.port, server.port)
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_goes_away_and_ctrl_c_during_work_are_met_with_silence():
    running = Server()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(
            b"POST /tokens HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{" % running.port
        )
    assert running.request("GET", "/")[0] == 200
    assert running.stop() == (130, "llama3-tok: Ctrl-C ends it\n")


def test_a_folder_does_not_take_the_name_of_a_release(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "llama3.1")
    assert "write the folder as ./llama3.1" in fails("serve", "llama3.1", cwd=tmp_path)


def test_profiles_and_folders_are_offered(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "mine")
    running = Server(str(tmp_path / "mine"))
    about = json.loads(running.request("GET", "/about")[2])
    assert about["tokenizers"][0] == "llama3.1"
    assert {"llama3", "llama3.2", "meta", str(tmp_path / "mine")} <= set(about["tokenizers"])
    assert about["llama2"] == ("LLAMA3_TOK_LLAMA2" in os.environ)
    for name in about["tokenizers"]:
        assert running.ask("tokens", text="Hello", tokenizer=name)[1]["count"] == 1
    running.stop()


def test_without_its_packages_the_command_names_what_installs_them(tmp_path):
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(name='uvicorn')")
    done = subprocess.run(
        [*COMMAND, "serve"],
        env=environment(
            PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "llama3_tok[serve]" in done.stderr
