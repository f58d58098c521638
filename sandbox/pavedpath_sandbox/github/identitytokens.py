"""The OpenID Connect tokens of jobs: what they claim, and how they are signed.

https://docs.github.com/actions/reference/security/oidc
"""

import base64
import json
import secrets as randomness
from uuid import uuid4

from pavedpath_sandbox.github import gates
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.errors import GitHubError, conflict, unprocessable
from pavedpath_sandbox.github.handlers.actions_settings import subject_claims, subject_prefix
from pavedpath_sandbox.github.identity import token_key
from pavedpath_sandbox.github.render import full_name, owner_of
from pavedpath_sandbox.github.runviews import run_status
from pavedpath_sandbox.github.store import ROOT, Json, Record, Store

ISSUER = "https://token.actions.githubusercontent.com"
"""The issuer that GitHub's tokens name, and so what the trust policies of a cloud name."""
LIFETIME = 300
_EARLY = 600  # GitHub's tokens are valid from ten minutes before they are issued
PATH = "/_sandbox/oidc/token"


def subject(prefix: str, context: str, claims: Json, keys: list[str] | None) -> str:
    """The subject: `prefix:context`, or of the claims that the repository has chosen."""
    if keys is None:
        return f"{prefix}:{context}"
    parts = {"repo": prefix, "context": context}
    return ":".join(parts.get(key, f"{key}:{claims.get(key, '')}") for key in keys)


def context_of(environment: str | None, event: str, ref: str) -> str:
    """What a job is, behind its repository: its environment and nothing else if it has one."""
    if environment is not None:
        return f"environment:{environment.replace(':', '%3A')}"
    return "pull_request" if event == "pull_request" else f"ref:{ref}"


def claims_of(call: Call, owner: Record, run: Json, *, audience: str | None, job: Record | None = None) -> Json:
    """The claims of a token; `run` has ref, sha, event, path, workflow, actor and actor_id, and may have the rest."""
    organization, name, now = owner_of(call, owner), full_name(call, owner), int(call.settings.clock())
    workflow_ref = f"{name}/{run['path']}@{run['ref']}"
    environment: str | None = run.get("environment")
    claims: Json = {
        "jti": str(uuid4()),
        "aud": audience or f"https://github.com/{organization['login']}",
        "ref": run["ref"],
        "sha": run["sha"],
        "repository": name,
        "repository_owner": organization["login"],
        "repository_owner_id": str(organization.id),
        "repository_id": str(owner.id),
        "repository_visibility": owner["visibility"],
        "run_id": str(run.get("run_id", 0)),
        "run_number": str(run.get("run_number", 1)),
        "run_attempt": str(run.get("run_attempt", 1)),
        "actor": run["actor"],
        "actor_id": str(run["actor_id"]),
        "workflow": run["workflow"],
        "workflow_ref": workflow_ref,
        "workflow_sha": run["sha"],
        "job_workflow_ref": workflow_ref,
        "job_workflow_sha": run["sha"],
        "head_ref": run.get("head_ref", ""),
        "base_ref": run.get("base_ref", ""),
        "event_name": run["event"],
        "ref_protected": "false",
        "ref_type": "tag" if run["ref"].startswith("refs/tags/") else "branch",
        "runner_environment": run.get("runner_environment", "self-hosted"),
        "enterprise": "",
        **({"environment": environment} if environment is not None else {}),
        **({"check_run_id": str(job.id)} if job else {}),
        "iss": ISSUER,
        "iat": now,
        "nbf": now - _EARLY,
        "exp": now + LIFETIME,
    }
    context = context_of(environment, run["event"], run["ref"])
    return {"sub": subject(subject_prefix(call, owner), context, claims, subject_claims(call, owner)), **claims}


def _claims_of_run(
    call: Call, run: Record, environment: str | None, audience: str | None, job: Record | None = None
) -> Json:
    actor = call.need(call.store.by_id("user", run["actor"]))
    facts: Json = {
        "ref": run["ref"],
        "sha": run["head_sha"],
        "event": run["event"],
        "path": run["path"],
        "workflow": run["name"],
        "actor": actor["login"],
        "actor_id": actor.id,
        "run_id": run.id,
        "run_number": run["run_number"],
        "run_attempt": run["run_attempt"],
        "environment": environment,
        "runner_environment": "self-hosted" if job is None or job["runner"]["id"] else "github-hosted",
    }
    owner = call.need(call.store.by_id("repository", run.parent))
    return claims_of(call, owner, facts, audience=audience, job=job)


def request_of_job(call: Call, job: Record) -> Json:
    """The variables with which a job that runs asks for its tokens, and for those of no other job."""
    if job["status"] != "in_progress":
        raise conflict(f"Job {job.id} is {job['status']}; only one that runs gets tokens.")
    return _request(call, job, {})


def request_of_run(call: Call, run: Record, environment: str | None) -> Json:
    """The same for a runner that gives all jobs of a run one set of variables: tokens of the run and one environment.

    Raises GitHubError 409 if the run has ended, 422 if the run's ref may not deploy to the environment.
    """
    if run_status(call, run)[0] == "completed":
        raise conflict(f"Run {run.id} is completed; only one that runs gets tokens.")
    owner = call.need(call.store.by_id("repository", run.parent))
    record = call.store.find("environment", owner.id, environment.lower()) if environment else None
    if record and (reason := gates.refusal(call, owner, run["ref"], record)):
        raise unprocessable(reason)
    return _request(call, run, {"environment": environment})


def _request(call: Call, of: Record, body: Json) -> Json:
    token = f"ghoidc_{randomness.token_hex(24)}"
    call.store.insert("id_token_request", of.id, token_key(token), body)
    return {
        # As GitHub's, the address has a query already: clients append `&audience=`.
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{call.urls.web}{PATH}?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token,
    }


def claims_of_request(call: Call, token: str, audience: str | None) -> Json | None:
    """The claims of the job or run whose request token it is, None if it is none.

    Raises GitHubError 401 when that has ended.
    """
    for request in call.store.everywhere("id_token_request", token_key(token)):
        job = call.store.by_id("job", request.parent)
        run = call.store.by_id("run", job.parent if job else request.parent)
        if run is None or run_status(call, run)[0] == "completed" or (job and job["status"] != "in_progress"):
            raise GitHubError(401, "The job of this token has ended.")
        return _claims_of_run(call, run, job["environment"] if job else request["environment"], audience, job)
    return None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """Signs with the server's own RSA key, which is made at first use and kept with the state."""

    def __init__(self, store: Store) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        held = store.find("oidc_key", ROOT, "")
        if held is None:
            made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            held = store.insert("oidc_key", ROOT, "", {"pem": pem.decode(), "kid": str(uuid4())})
        key = serialization.load_pem_private_key(held["pem"].encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the key of the state is not an RSA key")
        self._key, self._kid = key, str(held["kid"])

    def sign(self, claims: Json) -> str:
        """The JSON Web Token (RS256)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        header = {"typ": "JWT", "alg": "RS256", "kid": self._kid}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def key_set(self) -> Json:
        """The JSON Web Key Set with which anybody checks the tokens."""
        public = self._key.public_key().public_numbers()
        numbers = {
            name: _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))
            for name, value in (("n", public.n), ("e", public.e))
        }
        return {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self._kid, **numbers}]}
