import json
import socket
import subprocess
import sys
import threading
import time

import pytest


@pytest.mark.parametrize(
    ("http_status", "body", "code", "line"),
    [
        (200, {"status": "healthy"}, 0, "healthy"),
        (200, {"status": "healthy", "reasons": []}, 0, "healthy"),
        (
            200,
            {"status": "degraded", "reasons": ["Cloudflare does not answer", "1 user restarting"]},
            1,
            "degraded: Cloudflare does not answer; 1 user restarting",
        ),
        (503, {"status": "down", "reasons": ["storage"]}, 2, "down: storage"),
        (503, {"status": "draining"}, 2, "draining"),
    ],
)
def test_the_daemons_own_word_decides(streampai, server, http_status, body, code, line):
    server.status, server.body = http_status, json.dumps(body).encode()
    assert streampai("health", "--url", server.url + "/") == (code, line + "\n", "")
    assert server.requests[0][0] == "/readyz"


def test_machines_get_all_of_it(streampai, server):
    body = {"status": "degraded", "reasons": ["x"], "users": 3}
    server.body = json.dumps(body).encode()
    code, out, _ = streampai("health", "--json", "--url", server.url)
    assert (code, json.loads(out)) == (1, body)


@pytest.mark.parametrize(
    "body", [b"<html>", b"[1]", b'{"status": "fine"}', b'{"status": ["x"]}', b""]
)
def test_somebody_elses_answer_is_down(streampai, server, body):
    server.body = body
    code, out, _ = streampai("health", "--url", server.url)
    assert code == 2
    assert out == f"down: {server.url} answers 200, but not as Streampai does\n"


def test_nobody_there_is_down_with_the_reason(streampai):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        code, out, _ = streampai("health", "--url", url)
    assert code == 2
    assert out == f"down: {url} does not answer: Connection refused\n"


def test_what_speaks_no_http_is_down(streampai):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"SSH-2.0-x\r\n")
                peer.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        code, out, _ = streampai("health", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert code == 2
    assert "does not answer" in out


def test_a_url_that_is_none_is_wrong_usage(streampai):
    code, _, err = streampai("health", "--url", "ftp://x")
    assert code == 2
    assert "not an http or https address" in err


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_address_comes_from_the_settings(streampai, server, monkeypatch, host):
    monkeypatch.setenv("STREAMPAI_HOST", host)
    monkeypatch.setenv("STREAMPAI_PORT", str(server.port))
    server.body = b'{"status": "healthy"}'
    assert streampai("health")[0] == 0


def test_a_probe_imports_nothing_large():
    """What is imported decides how long a probe takes: 0.15 s are allowed for all of it."""
    program = (
        "import sys; from streampai.cli.main import main; main(['health', '--url', 'http://127.0.0.1:9']);"
        "print(*sorted(m.partition('.')[0] for m in sys.modules))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert time.perf_counter() - began < 5
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "streampai" in loaded
    assert not loaded & {"trio", "httpx", "quart", "cattrs", "orjson", "sqlite3", "cryptography"}
