from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import serialization
from pavedpath_sandbox.github.settings import APP_ID, runner_app


def test_an_installation_token_lasts_an_hour(github: Any, app: Any, clock: Any) -> None:
    path = github.repository()
    issued = github.post(app.tokens, token=app.jwt(clock.now))
    github.put(f"{path}/topics", {"names": ["a"]}, status=200, token=issued["token"])
    assert github.get("/user", token=issued["token"])["login"] == "fleet[bot]"
    clock.now += 3601
    github.get(path, status=401, token=issued["token"])


def test_a_token_for_fewer_repositories(github: Any, app: Any, clock: Any) -> None:
    path, other = github.repository(), github.repository("other")
    body = {"repositories": ["app"], "permissions": {"administration": "read"}}
    issued = github.post(app.tokens, body, token=app.jwt(clock.now))
    assert issued["repository_selection"] == "selected"
    github.get(path, token=issued["token"])
    github.get(other, status=404, token=issued["token"])
    github.post(app.tokens, {"repositories": ["none"]}, status=422, token=app.jwt(clock.now))
    github.post(app.tokens, {"permissions": {"contents": "write"}}, status=422, token=app.jwt(clock.now))


def test_only_the_app_itself_gets_tokens(github: Any, app: Any, clock: Any) -> None:
    now = clock.now
    for claims in ({"exp": int(now) - 1}, {"exp": int(now) + 3600}, {"iss": "1"}, {"iat": "soon"}):
        github.post(app.tokens, status=401, token=app.jwt(now, **claims))
    head, body, signature = app.jwt(now).split(".")
    unsigned = app.part({"alg": "none"}).decode()
    for forged in (f"{unsigned}.{body}.", f"{head}.{body}.{signature[:-8]}AAAAAAAA", f"{head}.{body[:-2]}.{signature}"):
        github.post(app.tokens, status=401, token=forged)
    github.post(app.tokens, status=401)
    github.get("/user", status=401, token=app.jwt(now))


def test_the_app_that_a_server_starts_with_has_known_ids_and_keeps_them(
    start: Any, settings: Any, app: Any, clock: Any
) -> None:
    public = app.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    app.id = APP_ID
    for _ in range(2):
        with start(replace(settings, app=runner_app(public.decode()))) as github:
            path = github.repository(f"app{len(github.get('/orgs/acme/repos'))}")
            (installation,) = github.get("/app/installations", token=app.jwt(clock.now))
            assert (installation["id"], installation["app_id"]) == (APP_ID + 1, APP_ID)
            issued = github.post(f"/app/installations/{APP_ID + 1}/access_tokens", token=app.jwt(clock.now))
            body = {"name": "dev-1-1", "runner_group_id": 1, "labels": ["self-hosted"]}
            name = f"dev-{path[-1]}-1"
            made = github.post(
                "/orgs/acme/actions/runners/generate-jitconfig", {**body, "name": name}, token=issued["token"]
            )
            assert made["runner"]["name"] == name
            assert github.get(f"{path}/actions/runs?status=queued", token=issued["token"])["total_count"] == 0
            assert github.post("/orgs/acme/repos", {"name": "next"}, status=201)["id"] > APP_ID + 1
            github.delete("/repos/acme/next")
