"""GitHub Actions as an OpenID Connect provider: tokens for jobs, its keys and its configuration."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pavedpath_sandbox.github.call import Call, call_of
from pavedpath_sandbox.github.errors import DOCUMENTATION, GitHubError
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.admin import require_owner
from pavedpath_sandbox.github.identity import authenticate, credential
from pavedpath_sandbox.github.identitytokens import ISSUER, PATH, Signer, claims_of, claims_of_request
from pavedpath_sandbox.github.limits import Limits
from pavedpath_sandbox.github.render import organization_of
from pavedpath_sandbox.github.settings import Settings
from pavedpath_sandbox.github.store import Json, Record, Store

_CLAIMS = [
    *("sub", "aud", "exp", "nbf", "iat", "iss", "jti", "environment", "ref", "ref_type", "sha"),
    *("repository", "repository_id", "repository_owner", "repository_owner_id", "repository_visibility"),
    *("actor", "actor_id", "workflow", "workflow_ref", "job_workflow_ref", "event_name", "head_ref", "base_ref"),
    *("run_id", "run_number", "run_attempt", "runner_environment"),
]


def _chosen(call: Call, user: Record) -> Json:
    """The claims that the owner asks for, of a job that need not exist."""
    name = call.query.get("repository", "").rpartition("/")[2]
    owner = call.store.find("repository", organization_of(call).id, name.lower())
    if owner is None:
        raise GitHubError(422, "repository must name a repository (OWNER/NAME or NAME).")
    ref = call.query.get("ref") or f"refs/heads/{owner['default_branch']}"
    facts: Json = {
        "ref": ref,
        "sha": call.query.get("sha") or Git(call.store, owner).resolve(ref) or "0" * 40,
        "event": call.query.get("event_name", "push"),
        "path": call.query.get("path", ".github/workflows/ci.yml"),
        "workflow": call.query.get("workflow", "CI"),
        "actor": user["login"],
        "actor_id": user.id,
        "environment": call.query.get("environment"),
    }
    return claims_of(call, owner, facts, audience=call.query.get("audience"))


def routes(store: Store, settings: Settings, limits: Limits) -> list[BaseRoute]:
    """The routes. Tokens are for a job or a run (by its own request token) or for the organisation's owner."""

    def claims(request: Request) -> Json:
        authorization = request.headers.get("authorization")
        call = call_of(request, store, settings, limits, user=None)
        held = claims_of_request(call, credential(authorization), call.query.get("audience")) if authorization else None
        if held:
            return held
        user, _ = authenticate(store, settings, authorization)
        return _chosen(call, require_owner(store, settings, user))

    def token(request: Request) -> Json:
        return {"value": Signer(store).sign(claims(request))}

    def configuration(request: Request) -> Json:
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{request.url.scheme}://{request.url.netloc}/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": _CLAIMS,
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def keys(_request: Request) -> Json:
        return Signer(store).key_set()

    def route(path: str, answer: Callable[[Request], Json]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                with store.transaction():
                    return JSONResponse(answer(request))
            except GitHubError as error:
                return JSONResponse(error.body(DOCUMENTATION), error.status)

        return Route(path, endpoint, methods=["GET"])

    return [
        route(PATH, token),
        route("/.well-known/openid-configuration", configuration),
        route("/.well-known/jwks", keys),
    ]
