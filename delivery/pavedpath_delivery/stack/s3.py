"""The address of an S3 state backend, a client for it, and what AWS's refusals mean.

Source of the address's options: gocloud.dev's `aws.V2ConfigFromURLParams` and `blob/s3blob`, which Pulumi's
"State and backends" refers to.
"""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pavedpath_delivery.stack.errors import Exit, StackCommandError

ClientOf = Callable[[str], Any]
"""Gives a boto3 client by its service's name."""

# Operations whose IAM action has another name than `service:Operation` (Service Authorization Reference, S3).
_S3_ACTIONS: Mapping[str, str] = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}
_DENIED = frozenset({"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation"})
_UNKNOWN_IDENTITY = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException"}
)


@dataclass(frozen=True)
class S3Place:
    """Where an S3 backend is.

    `prefix` ends in a slash or is empty; empty `region`, `profile` and `endpoint` are the environment's.
    """

    bucket: str
    prefix: str = ""
    region: str = ""
    profile: str = ""
    endpoint: str = ""
    path_style: bool = False

    @classmethod
    def parse(cls, url: str) -> "S3Place | None":
        """Return the place that a backend's address names; None for another kind of backend."""
        parts = urlsplit(url)
        if parts.scheme != "s3":
            return None
        query = parse_qs(parts.query)

        def option(name: str) -> str:
            return query.get(name, [""])[-1]

        path = parts.path.strip("/")
        style = option("use_path_style") == "true" or option("s3ForcePathStyle") == "true"
        return cls(
            parts.netloc, f"{path}/" if path else "", option("region"), option("profile"), option("endpoint"), style
        )

    def clients(self) -> ClientOf:
        """Return what makes the clients for this place."""

        def client(service: str) -> Any:
            import boto3
            from botocore.config import Config

            style = "path" if self.path_style else "auto"
            config = Config(s3={"addressing_style": style}, retries={"mode": "standard", "max_attempts": 5})
            # The Go SDK, and so the engine, reads AWS_REGION; boto3 reads AWS_DEFAULT_REGION alone.
            region = self.region or os.environ.get("AWS_REGION") or None
            session: Any = boto3.Session(profile_name=self.profile or None, region_name=region)
            endpoint = self.endpoint if service == "s3" else ""
            return session.client(service, endpoint_url=endpoint or None, config=config)

        return client


@contextmanager
def explained(doing: str) -> Generator[None]:
    """Turn what boto3 raises into an error with cause and fix; `doing` says what was under way."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

    try:
        yield
    except ClientError as error:
        raise StackCommandError(f"{doing}: {_refusal(error)}") from error
    except (NoCredentialsError, ProfileNotFound) as error:
        raise StackCommandError(
            f"{doing}: there are no AWS credentials ({error}).\n"
            "Fix: log in (`aws sso login`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            Exit.USAGE,
        ) from error
    except BotoCoreError as error:
        raise StackCommandError(
            f"{doing}: AWS cannot be asked ({error}).\nFix: are the region and the network right?"
        ) from error


def code_of(error: Any) -> str:
    """Return the code of a `ClientError`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(error: Any) -> str:
    code, operation = code_of(error), str(error.operation_name)
    said = str(error.response.get("Error", {}).get("Message", "")) or "no message"
    if code in _DENIED:
        return f"AWS refuses {operation} ({said}).\nFix: give this identity {_action(operation)}, or use another one."
    if code in _UNKNOWN_IDENTITY:
        return f"AWS does not accept the credentials ({code}).\nFix: log in again."
    if code in ("NoSuchBucket", "404"):
        return "the bucket does not exist.\nFix: pavedpath state bootstrap makes it; or correct the backend's address."
    if code in ("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
        return f"the bucket is in another region ({said}).\nFix: correct `region=` in the backend's address."
    if code == "OperationAborted":
        return f"S3 is still busy with a like operation ({said}).\nFix: wait a minute and run it again."
    return f"{operation} failed with {code}: {said}\nFix: correct what it names, and run this again: it goes on."


def _action(operation: str) -> str:
    if operation == "GetCallerIdentity":
        return f"sts:{operation}"
    known = _S3_ACTIONS.get(operation)
    return f"s3:{known or operation}" if known or "Bucket" in operation or "Object" in operation else f"kms:{operation}"
