from typing import Any


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
