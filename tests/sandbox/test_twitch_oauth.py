import httpx
import pytest

from streampai.sandbox import Sandbox, SandboxOptions, open_sandbox

from .callers import REDIRECT, SCOPES, TwitchCaller


async def _refresh(twitch: TwitchCaller, token: str, **more: str) -> httpx.Response:
    form = {**twitch.client, "grant_type": "refresh_token", "refresh_token": token, **more}
    return await twitch.http.post(f"{twitch.auth}/token", data=form)


async def _validate(twitch: TwitchCaller, token: str, scheme: str = "OAuth") -> httpx.Response:
    headers = {"Authorization": f"{scheme} {token}"}
    return await twitch.http.get(f"{twitch.auth}/validate", headers=headers)


async def test_the_log_in_page_names_the_scopes_and_leads_back(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    query = {
        "response_type": "code",
        "client_id": sandbox.options.client_id,
        "redirect_uri": REDIRECT,
        "scope": 'user:read:chat "><script>',
        "state": "st",
    }
    page = await twitch.http.get(f"{twitch.auth}/authorize", params=query)
    assert "user:read:chat" in page.text and "<script" not in page.text
    form = {**query, "login": "ada", "decision": "authorize"}
    back = await twitch.http.post(f"{twitch.auth}/authorize", data=form)
    location = httpx.URL(back.headers["location"])
    assert location.params["state"] == "st" and location.params["code"]
    form["decision"] = "deny"
    back = await twitch.http.post(f"{twitch.auth}/authorize", data=form)
    assert httpx.URL(back.headers["location"]).params["error"] == "access_denied"


@pytest.mark.parametrize(
    ("client_id", "uri", "message"),
    [("other", REDIRECT, "invalid client"), ("", "https://evil.test/", "redirect_mismatch")],
)
async def test_a_wrong_client_or_redirect_is_shown_not_followed(
    sandbox: Sandbox, twitch: TwitchCaller, client_id: str, uri: str, message: str
) -> None:
    query = {
        "response_type": "code",
        "client_id": client_id or sandbox.options.client_id,
        "redirect_uri": uri,
        "sandbox_login": "demo",
    }
    answer = await twitch.http.get(f"{twitch.auth}/authorize", params=query)
    assert answer.status_code == 400 and message in answer.json()["message"]


async def test_registered_redirects_must_match_exactly() -> None:
    options = SandboxOptions(redirect_uris=("https://host.test/cb",))
    async with (
        open_sandbox(base_port=0, options=options) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        for uri, status in (("https://host.test/cb", 302), ("https://host.test/cb/", 400)):
            query = {
                "response_type": "code",
                "client_id": options.client_id,
                "redirect_uri": uri,
                "sandbox_login": "demo",
            }
            answer = await http.get(f"{sandbox.urls['twitch_auth']}/authorize", params=query)
            assert answer.status_code == status


async def test_a_token_answer_has_the_real_shape(twitch: TwitchCaller) -> None:
    assert twitch.tokens["token_type"] == "bearer"
    assert twitch.tokens["scope"] == sorted(SCOPES.split())
    assert 14_000 < twitch.tokens["expires_in"] <= 14_400
    assert twitch.tokens["refresh_token"]


async def test_parameters_may_come_in_the_query(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    code = await twitch.authorize("ada")
    query = {**twitch.client, "grant_type": "authorization_code", "code": code}
    answer = await twitch.http.post(
        f"{twitch.auth}/token", params={**query, "redirect_uri": REDIRECT}
    )
    assert answer.status_code == 200


async def test_a_code_works_once_for_its_redirect_and_not_for_long(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    async def exchange(code: str, uri: str = REDIRECT) -> httpx.Response:
        form = {**twitch.client, "grant_type": "authorization_code", "code": code}
        return await twitch.http.post(f"{twitch.auth}/token", data={**form, "redirect_uri": uri})

    code = await twitch.authorize("ada")
    assert (await exchange(code)).status_code == 200
    again = await exchange(code)
    assert again.status_code == 400
    assert again.json() == {"status": 400, "message": "Invalid authorization code"}
    assert (await exchange(await twitch.authorize("ada"), "http://127.0.0.1/")).status_code == 400
    late = await twitch.authorize("ada")
    sandbox.agenda.advance(61)
    assert (await exchange(late)).status_code == 400


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"client_secret": "wrong"}, 403, "invalid client secret"),
        ({"client_id": "wrong"}, 400, "invalid client"),
    ],
)
async def test_a_wrong_client_gets_no_token(
    twitch: TwitchCaller, change: dict[str, str], status: int, message: str
) -> None:
    form = {**twitch.client, "grant_type": "client_credentials", **change}
    answer = await twitch.http.post(f"{twitch.auth}/token", data=form)
    assert answer.json() == {"status": status, "message": message}


async def test_an_app_token_has_neither_user_nor_refresh_token(twitch: TwitchCaller) -> None:
    form = {**twitch.client, "grant_type": "client_credentials"}
    token = (await twitch.http.post(f"{twitch.auth}/token", data=form)).json()
    assert "refresh_token" not in token
    shown = (await _validate(twitch, token["access_token"])).json()
    assert "user_id" not in shown and shown["scopes"] is None


async def test_validate_tells_whose_token_it_is_with_either_word(twitch: TwitchCaller) -> None:
    for scheme in ("OAuth", "Bearer"):
        shown = (await _validate(twitch, twitch.tokens["access_token"], scheme)).json()
        assert shown["login"] == "demo" and shown["user_id"] == twitch.user_id
        assert shown["client_id"] == twitch.sandbox.options.client_id
    dead = await _validate(twitch, "unknown")
    assert dead.status_code == 401 and dead.json()["message"] == "invalid access token"


@pytest.mark.parametrize(("kind", "old_works"), [("same", True), ("new", True), ("replace", False)])
async def test_a_refresh_may_change_the_refresh_token(
    sandbox: Sandbox, twitch: TwitchCaller, kind: str, old_works: bool
) -> None:
    sandbox.twitch.knobs.refresh = kind
    old = twitch.tokens["refresh_token"]
    answer = (await _refresh(twitch, old)).json()
    assert (answer["refresh_token"] == old) == (kind == "same")
    assert (await _validate(twitch, answer["access_token"])).status_code == 200
    assert ((await _refresh(twitch, old)).status_code == 200) == old_works
    assert (await _refresh(twitch, answer["refresh_token"])).status_code == 200


async def test_a_dead_refresh_token_is_a_definite_400(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    refused = await _refresh(twitch, "unknown")
    assert refused.status_code == 400
    assert refused.json()["message"] == "Invalid refresh token"
    sandbox.twitch.knobs.refuse_refresh = True
    assert (await _refresh(twitch, twitch.tokens["refresh_token"])).status_code == 400


async def test_an_expired_token_is_401_until_refreshed(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    assert sandbox.twitch.expire_tokens(sandbox.twitch.user("demo")) == 1
    refused = await twitch.call("GET", "/users")
    assert refused.status_code == 401 and refused.json()["message"] == "Invalid OAuth token"
    twitch.tokens = (await _refresh(twitch, twitch.tokens["refresh_token"])).json()
    assert (await twitch.call("GET", "/users")).status_code == 200


async def test_who_disconnects_the_application_ends_every_token(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    assert sandbox.twitch.revoke_grants(sandbox.twitch.user("demo")) == 1
    assert (await twitch.call("GET", "/users")).status_code == 401
    assert (await _refresh(twitch, twitch.tokens["refresh_token"])).status_code == 400


async def test_revoke_forgets_one_token(twitch: TwitchCaller) -> None:
    token = twitch.tokens["access_token"]
    client_id = twitch.sandbox.options.client_id

    async def revoke(client: str) -> httpx.Response:
        form = {"client_id": client, "token": token}
        return await twitch.http.post(f"{twitch.auth}/revoke", data=form)

    assert (await revoke("other")).status_code == 404
    done = await revoke(client_id)
    assert (done.status_code, done.content) == (200, b"")
    again = await revoke(client_id)
    assert (again.status_code, again.json()["message"]) == (400, "Invalid token")


async def test_the_fifty_first_access_token_ends_the_first(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    sandbox.twitch.knobs.refresh = "same"
    for _ in range(50):
        assert (await _refresh(twitch, twitch.tokens["refresh_token"])).status_code == 200
    assert (await twitch.call("GET", "/users")).status_code == 401


async def test_the_device_flow_waits_for_the_user(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    client = {"client_id": sandbox.options.client_id}
    form = {**client, "scopes": "user:read:chat bits:read"}
    device = (await twitch.http.post(f"{twitch.auth}/device", data=form)).json()
    assert device["expires_in"] == 1800 and device["interval"] >= 1
    assert device["user_code"] in device["verification_uri"]
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    poll = {**client, "grant_type": grant, "device_code": device["device_code"]}

    async def ask() -> httpx.Response:
        return await twitch.http.post(f"{twitch.auth}/token", data=poll)

    assert (await ask()).json() == {"status": 400, "message": "authorization_pending"}
    page = await twitch.http.get(device["verification_uri"])
    assert device["user_code"] in page.text
    decide = {"user_code": device["user_code"], "login": "ada", "decision": "authorize"}
    activate = f"{sandbox.urls['twitch']}/activate"
    assert (await twitch.http.post(activate, data=decide)).status_code == 200
    tokens = (await ask()).json()
    assert (await _validate(twitch, tokens["access_token"])).json()["login"] == "ada"
    assert (await ask()).json()["message"] == "invalid device code"


async def test_a_device_code_can_be_denied_and_runs_out(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    client_id = sandbox.options.client_id
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    for spoil in ("deny", "wait"):
        form = {"client_id": client_id, "scopes": ""}
        device = (await twitch.http.post(f"{twitch.auth}/device", data=form)).json()
        if spoil == "deny":
            decide = {"user_code": device["user_code"], "login": "ada", "decision": "deny"}
            await twitch.http.post(f"{sandbox.urls['twitch']}/activate", data=decide)
        else:
            sandbox.agenda.advance(1801)
        poll = {"client_id": client_id, "grant_type": grant, "device_code": device["device_code"]}
        answer = await twitch.http.post(f"{twitch.auth}/token", data=poll)
        assert answer.json()["message"] == "invalid device code"


async def test_a_public_clients_refresh_token_works_once_and_needs_no_secret() -> None:
    async with (
        open_sandbox(base_port=0, options=SandboxOptions(public_client=True)) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        token_url = f"{sandbox.urls['twitch_auth']}/token"
        client = {"client_id": sandbox.options.client_id}
        form = {**client, "scopes": "bits:read"}
        device = (await http.post(f"{sandbox.urls['twitch_auth']}/device", data=form)).json()
        await http.get(f"{device['verification_uri']}&sandbox_login=ada")
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        poll = {**client, "grant_type": grant, "device_code": device["device_code"]}
        tokens = (await http.post(token_url, data=poll)).json()
        refresh = {**client, "grant_type": "refresh_token"}
        refresh["refresh_token"] = tokens["refresh_token"]
        assert (await http.post(token_url, data=refresh)).status_code == 200
        assert (await http.post(token_url, data=refresh)).status_code == 400


async def test_a_confidential_client_cannot_refresh_without_its_secret(
    twitch: TwitchCaller,
) -> None:
    form = {
        "client_id": twitch.sandbox.options.client_id,
        "grant_type": "refresh_token",
        "refresh_token": twitch.tokens["refresh_token"],
    }
    assert (await twitch.http.post(f"{twitch.auth}/token", data=form)).status_code == 400


async def test_user_ids_outlive_a_restart() -> None:
    ids = []
    for _ in range(2):
        async with open_sandbox(base_port=0) as sandbox:
            ids.append(sandbox.twitch.user("Demo").id)
    assert ids[0] == ids[1] and ids[0].isdecimal()
