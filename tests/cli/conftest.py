import http.server
import os
import random
import socket
import threading
from contextlib import ExitStack

import pytest

from streampai.cli.main import main


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """No setting of whoever runs the tests, and a data directory of the test's own."""
    for name in os.environ:
        if name.startswith("STREAMPAI_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMPAI_DATA", str(tmp_path / "data"))


@pytest.fixture
def streampai(capsys):
    """Call the command in this process: exit code, standard output, standard error."""

    def call(*words):
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return call


class AnsweringServer:
    """An HTTP server in a thread that gives one answer and keeps the requests."""

    def __init__(self):
        self.status, self.body, self.requests = 200, b"{}", []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args):
                """Not on the tests' stderr."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server():
    server = AnsweringServer()
    yield server
    server.close()


def _free(first):
    with ExitStack() as stack:
        for port in range(first, first + 3):
            sock = stack.enter_context(socket.socket())
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@pytest.fixture
def base_port():
    """The first of three free ports in a row, below those that the kernel hands out."""
    while True:
        port = random.randrange(20_000, 32_000)
        if _free(port):
            return port
