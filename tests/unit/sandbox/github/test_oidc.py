"""GitHub Actions as an OpenID Connect provider."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pavedpath_sandbox.github.settings import Settings

OWNER, MEMBER = "owner-token", "member-token"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(c: Any, token: str) -> dict[str, Any]:
    """The claims of a token, checked with the published key."""
    head, body, signature = token.split(".")
    keys = {one["kid"]: one for one in read(c, "/.well-known/jwks", None).json()["keys"]}
    key = keys[json.loads(decoded(head))["kid"]]
    modulus, exponent = (int.from_bytes(decoded(key[name]), "big") for name in ("n", "e"))
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    public.verify(decoded(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return json.loads(decoded(body))


def read(c: Any, url: str, token: str | None = OWNER) -> Any:
    path = url.removeprefix("http://github.test")
    prefix, c.prefix = c.prefix, ""
    try:
        return c.send("GET", path, token=token)
    finally:
        c.prefix = prefix


def ask(c: Any, query: str, token: str | None = OWNER) -> dict[str, Any]:
    answer = read(c, f"/_sandbox/oidc/token?{query}", token)
    assert answer.status_code == 200, answer.text
    return verified(c, answer.json()["value"])


def test_the_owner_chooses_what_a_token_says(github: Any, clock: Any) -> None:
    clock.now = 1_780_000_000.0  # before repositories had their ids in it
    github.repository()
    claims = ask(github, "audience=sts.amazonaws.com&repository=acme/app&environment=prod")
    assert (claims["sub"], claims["aud"]) == ("repo:acme/app:environment:prod", "sts.amazonaws.com")
    assert claims["iss"] == "https://token.actions.githubusercontent.com"
    assert (claims["exp"] - claims["iat"], claims["iat"]) == (300, int(clock.now))
    assert ask(github, "repository=app")["sub"] == "repo:acme/app:ref:refs/heads/main"
    assert ask(github, "repository=app")["aud"] == "https://github.com/acme"
    assert ask(github, "repository=app&ref=refs/tags/v1")["ref_type"] == "tag"
    assert ask(github, "repository=app&event_name=pull_request")["sub"] == "repo:acme/app:pull_request"
    for query, token, status in (("repository=none", OWNER, 422), ("repository=app", MEMBER, 403), ("", None, 401)):
        assert read(github, f"/_sandbox/oidc/token?{query}", token).status_code == status


def test_repositories_of_today_have_their_ids_in_the_subject(github: Any) -> None:
    shown = github.get(github.repository())
    expected = f"repo:acme@{shown['owner']['id']}/app@{shown['id']}:environment:a%3Ab"
    assert ask(github, "repository=app&environment=a:b")["sub"] == expected
    path = "/repos/acme/app/actions/oidc/customization/sub"
    keys = ["repository_owner", "context", "workflow"]
    github.put(path, {"use_default": False, "include_claim_keys": keys}, status=201)
    assert ask(github, "repository=app")["sub"] == "repository_owner:acme:ref:refs/heads/main:workflow:CI"


def test_a_job_gets_tokens_of_its_own_while_it_runs(github: Any) -> None:
    c = github
    c.repository()
    job: dict[str, Any] = {"name": "deploy", "labels": [], "environment": "prod"}
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": [job]}, status=200)["id"]
    [job] = c.get(f"/repos/acme/app/actions/runs/{run}/jobs")["jobs"]
    c.post(f"/_sandbox/jobs/{job['id']}/oidc", status=409)
    c.post(f"/_sandbox/jobs/{job['id']}", {"hosted": True}, status=200)
    given = c.post(f"/_sandbox/jobs/{job['id']}/oidc", status=200)
    url, token = given["ACTIONS_ID_TOKEN_REQUEST_URL"], given["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    answer = read(c, f"{url}&audience=sts.amazonaws.com&environment=other&repository=other", token)
    claims = verified(c, answer.json()["value"])
    assert (claims["environment"], claims["run_id"], claims["check_run_id"]) == ("prod", str(run), str(job["id"]))
    assert claims["sub"].endswith("/app@" + claims["repository_id"] + ":environment:prod")
    c.get("/user", status=401, token=token)
    c.post(f"/_sandbox/jobs/{job['id']}", {"conclusion": "success"}, status=200)
    assert read(c, url, token).status_code == 401


def test_a_run_gets_tokens_of_one_environment_that_its_ref_may_deploy_to(github: Any) -> None:
    c = github
    c.repository()
    c.put("/repos/acme/app/environments/dev", {}, status=200)
    only = {"deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True}}
    c.put("/repos/acme/app/environments/prod", only, status=200)
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": [], "open": True}, status=200)["id"]
    assert "not allowed" in c.post(f"/_sandbox/runs/{run}/oidc", {"environment": "prod"}, status=422)["message"]
    given = c.post(f"/_sandbox/runs/{run}/oidc", {"environment": "dev"}, status=200)
    url, token = given["ACTIONS_ID_TOKEN_REQUEST_URL"], given["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    claims = verified(c, read(c, f"{url}&environment=prod", token).json()["value"])
    assert (claims["environment"], claims["run_id"]) == ("dev", str(run))
    c.post(f"/_sandbox/runs/{run}/close", status=200)
    assert read(c, url, token).status_code == 401
    c.post(f"/_sandbox/runs/{run}/oidc", status=409)


def test_the_key_outlives_the_server(settings: Settings, start: Callable[..., Any]) -> None:
    with start(settings) as first:
        keys = read(first, "/.well-known/jwks", None).json()
    with start(replace(settings)) as second:
        assert read(second, "/.well-known/jwks", None).json() == keys
        configuration = read(second, "/.well-known/openid-configuration", None).json()
    assert configuration["jwks_uri"] == "http://github.test/.well-known/jwks"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_that_was_changed_does_not_verify(github: Any, part: int) -> None:
    github.repository()
    parts = read(github, "/_sandbox/oidc/token?repository=app").json()["value"].split(".")
    parts[part] = ("B" if parts[part][9] == "A" else "A").join((parts[part][:9], parts[part][10:]))
    with pytest.raises((InvalidSignature, KeyError, ValueError)):
        verified(github, ".".join(parts))
