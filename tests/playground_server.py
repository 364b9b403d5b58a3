"""A running `llama3-tok serve`, asked as its page asks it."""

import http.client
import json
import signal
import subprocess

from cli import COMMAND, environment

CORPUS = "Việt Nam, in 2024: don't panic! <|eot_id|> 漢字 😀\n"


class Server:
    """A running `llama3-tok serve`."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.process.stderr.read()
        self.port = int(self.address.rsplit(":", 1)[1])

    def request(self, method, path, body=None, headers=()):
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}
        body = answer.read()
        connection.close()
        return *found, body

    def ask(self, name, **question):
        """The answer to a question of the page."""
        body = json.dumps({"tokenizer": "llama3.1", **question})
        headers = {"content-type": "application/json", "origin": self.address}
        status, _, body = self.request("POST", f"/{name}", body, headers)
        return status, json.loads(body)

    def stop(self):
        """Ctrl-C; gives the exit code and what was said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said
