"""An account of the sandbox's AWS, as a command of the sandbox reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.config import Config
from botocore.session import Session


def clients(variables: Mapping[str, str], *services: str) -> tuple[Any, ...]:
    """Return clients of services; `variables` are those of an environment of the sandbox."""
    session: Any = Session()
    return tuple(
        session.create_client(
            service,
            region_name=variables["AWS_REGION"],
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}, retries={"max_attempts": 1}),
        )
        for service in services
    )


def fill_empty_secrets(secrets_manager: Any, prefix: str, value: str) -> list[str]:
    """Give each secret whose name begins with `prefix` and that has no value this one; return their names."""
    filled: list[str] = []
    for page in secrets_manager.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            if secret["Name"].startswith(prefix) and not secret.get("SecretVersionsToStages"):
                secrets_manager.put_secret_value(SecretId=secret["ARN"], SecretString=value)
                filled.append(secret["Name"])
    return filled
