import json

import pytest

NODES = [
    {
        "name": "main",
        "stopping": False,
        "child": None,
        "supervisor": None,
        "children": [
            {
                "name": "user_stream_manager/1",
                "stopping": True,
                "child": None,
                "supervisor": None,
                "children": [],
            }
        ],
    }
]


@pytest.fixture
def data(tmp_path):
    """A data directory as the daemon leaves it."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "admin-token").write_text("from-the-file\n")
    return data


@pytest.fixture
def daemon(server):
    server.body = json.dumps({"tree": NODES}).encode()
    return server


def test_the_tree_is_drawn_with_the_token_of_the_data_directory(streampai, daemon, data):
    code, out, _ = streampai("tree", "--url", daemon.url, "--data", str(data))
    assert code == 0
    assert [line.split() for line in out.splitlines()][1:] == [
        ["main"],
        ["└", "user_stream_manager/1", "stopping"],
    ]
    path, headers = daemon.requests[0]
    assert path == "/api/tree"
    assert headers["X-API-Key"] == "from-the-file"


def test_the_key_of_the_settings_goes_before_the_file(streampai, daemon, data, monkeypatch):
    monkeypatch.setenv("STREAMPAI_ADMIN_KEY", "from-the-settings")
    streampai("tree", "--url", daemon.url)
    assert daemon.requests[0][1]["X-API-Key"] == "from-the-settings"


def test_machines_get_the_nodes(streampai, daemon, data):
    code, out, _ = streampai("tree", "--json", "--url", daemon.url)
    assert (code, json.loads(out)) == (0, NODES)


def test_without_any_key_it_is_said_where_one_was_looked_for(streampai, daemon, tmp_path):
    code, _, err = streampai("tree", "--url", daemon.url)
    assert code == 2
    assert "STREAMPAI_ADMIN_KEY is not set" in err
    assert str(tmp_path / "data" / "admin-token") in err
    assert daemon.requests == []


def test_a_refused_key_is_not_shown(streampai, daemon, data):
    daemon.status, daemon.body = 401, b'{"error": {}}'
    code, out, err = streampai("tree", "--url", daemon.url)
    assert (code, out) == (1, "")
    assert err == f"streampai: {daemon.url} does not accept the admin key\n"


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"tree": [{"name": 1}]}'])
def test_somebody_elses_answer_is_an_error_not_a_traceback(streampai, daemon, data, body):
    daemon.body = body
    code, _, err = streampai("tree", "--url", daemon.url)
    assert code == 1
    assert "not as Streampai does" in err


def test_no_daemon_is_an_error_not_a_traceback(streampai, data):
    code, _, err = streampai("tree", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "http://127.0.0.1:9 does not answer: Connection refused" in err
