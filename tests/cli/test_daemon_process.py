"""``streampai run --sandbox`` as a person runs it: a real process, from nothing to its end."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from streampai.cli.daemon_client import get_json

pytestmark = pytest.mark.process


class Started:
    def __init__(self, base_port, tmp_path):
        self._address = tmp_path / "notify"
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(self._address))
        self.systemd.settimeout(30)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streampai", "run", "--sandbox"]
            + ["--base-port", str(base_port), "--port", "0", "--data", str(tmp_path / "data")],
            env={**os.environ, "NOTIFY_SOCKET": str(self._address), "WATCHDOG_USEC": "1000000"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.line = self.process.stdout.readline()
        match = re.match(r"Streampai is at (\S+)/ ", self.line)
        assert match, self.process.communicate(timeout=5)
        self.url = match[1]

    def hear(self, word):
        while not self.systemd.recv(4096).decode().startswith(word):
            pass

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def close(self):
        self.systemd.close()
        self._address.unlink()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(base_port, tmp_path):
    started = []

    def start():
        if started:
            started[-1].close()
        started.append(Started(base_port, tmp_path))
        return started[-1]

    yield start
    started[-1].close()
    with suppress(OSError):
        _, state = get_json(f"http://127.0.0.1:{base_port}/state?last=1", timeout=5)
        os.kill(state["pid"], signal.SIGKILL)


def test_a_newcomers_first_run_a_kill_and_an_orderly_end(start, base_port, streampai, tmp_path):
    daemon = start()
    assert "log in as demo with password" in daemon.line
    daemon.hear("READY=1")
    daemon.hear("WATCHDOG=1")
    code, tree, _ = streampai("tree", "--url", daemon.url, "--data", str(tmp_path / "data"))
    assert code == 0
    assert "systemd_notifier" in tree
    control = f"http://127.0.0.1:{base_port}/state?last=1"
    _, before = get_json(control, timeout=5)
    daemon.end(signal.SIGKILL)

    daemon = start()
    assert "log in as demo; a new password: " in daemon.line
    daemon.hear("READY=1")
    _, after = get_json(control, timeout=5)
    assert after["pid"] == before["pid"]
    code, out, err = daemon.end(signal.SIGTERM)
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    daemon.hear("STOPPING=1")
    with pytest.raises(ConnectionRefusedError):
        get_json(control, timeout=5)


def test_a_taken_port_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "streampai", "run", "--port", port, "--data", str(tmp_path)],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"STREAMPAI_PORT={port}" in done.stderr
    assert done.stderr.count("\n") == 1
