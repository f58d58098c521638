"""What `aws-actions/configure-aws-credentials` does, at the sandbox's STS: an identity token for credentials.

moto gives a role's credentials to everybody, so the role's trust policy is held against the token here.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import httpx
from botocore import UNSIGNED
from botocore.config import Config

from pavedpath_sandbox.aws.conditions import UnknownConditionError, holds
from pavedpath_sandbox.documents import Properties, fields, objects, texts

_ACTION = "sts:AssumeRoleWithWebIdentity"
ISSUER = "token.actions.githubusercontent.com"


def claims_of(token: str) -> Mapping[str, Any]:
    """Return what a token claims."""
    part = token.split(".")[1]
    return fields(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def refusals(trust: Properties, claims: Mapping[str, Any]) -> Iterator[str]:
    """Yield why no statement of a trust policy lets a token's owner in; nothing if one does."""
    found: list[str] = []
    for statement in objects(trust.get("Statement")):
        if _ACTION not in (statement.get("Action"), *texts(statement.get("Action"))):
            continue
        reasons = list(_unmet(fields(statement.get("Condition")), claims))
        if statement.get("Effect") == "Allow" and not reasons:
            return
        found += reasons
    yield from found or ["its trust policy names no identity of GitHub"]


def _unmet(condition: Properties, claims: Mapping[str, Any]) -> Iterator[str]:
    named = {f"{ISSUER}:{name}": str(value) for name, value in claims.items()}
    for operator, keys in condition.items():
        for key, wanted in fields(keys).items():
            try:
                met = holds({operator: {key: wanted}}, named.get)
            except UnknownConditionError as error:
                yield f"{error} is not known here"
                continue
            if not met:
                values = [wanted] if isinstance(wanted, str) else texts(wanted)
                yield f"{key} is {named.get(key.lower())!r}, {operator} wants {' or '.join(values)}"


def _trust(role: str) -> Properties:
    _, _, _, _, account, name = role.split(":", 5)
    iam = boto3.client(  # pyright: ignore[reportUnknownMemberType]  # only the stubs of some services are installed
        "iam",
        region_name=os.environ["REGION"],
        aws_access_key_id=account,  # as an access key id, an account's is its own in the sandbox
        aws_secret_access_key="test",  # noqa: S106  the sandbox takes any
    )
    return fields(iam.get_role(RoleName=name.rpartition("/")[2])["Role"].get("AssumeRolePolicyDocument"))


def main() -> int:
    """Write the role's credentials to the environment of the steps that follow; return the exit status."""
    if "ACTIONS_ID_TOKEN_REQUEST_URL" not in os.environ:
        sys.stderr.write("the job may ask for no identity token: it needs `permissions: {id-token: write}`\n")
        return 1
    token = _identity(os.environ["AUDIENCE"])
    if reasons := list(refusals(_trust(os.environ["ROLE"]), claims_of(token))):
        sys.stderr.write(f"Not authorized to perform sts:AssumeRoleWithWebIdentity: {'; '.join(reasons)}\n")
        return 1
    sts = boto3.client(  # pyright: ignore[reportUnknownMemberType]  # only the stubs of some services are installed
        "sts", region_name=os.environ["REGION"], config=Config(signature_version=UNSIGNED)
    )
    answer = sts.assume_role_with_web_identity(
        RoleArn=os.environ["ROLE"], RoleSessionName=os.environ["SESSION"], WebIdentityToken=token
    )
    given = answer["Credentials"]
    for secret in (given["SecretAccessKey"], given["SessionToken"]):
        sys.stdout.write(f"::add-mask::{secret}\n")
    values = {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
        "AWS_REGION": os.environ["REGION"],
        "AWS_DEFAULT_REGION": os.environ["REGION"],
    }
    with Path(os.environ["GITHUB_ENV"]).open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    sys.stdout.write(f"assumed {answer['AssumedRoleUser']['Arn']}\n")
    return 0


def _identity(audience: str) -> str:
    """Return the job's identity token; source: GitHub, "OpenID Connect reference", requesting the token."""
    url = f"{os.environ['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={quote(audience)}"
    answer = httpx.get(url, headers={"Authorization": f"bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"})
    answer.raise_for_status()
    return str(answer.json()["value"])


if __name__ == "__main__":
    sys.exit(main())
