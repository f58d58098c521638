"""The one place where an AWS client is made."""

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from botocore.config import Config


def client(service: str, region: str | None = None, endpoint: str | None = None, config: "Config | None" = None) -> Any:
    """Return a boto3 client; what is not given comes from the environment.

    It is untyped: the service is a variable here, and stubs are installed for some services only.
    """
    import boto3

    return cast(Any, boto3).client(service, region_name=region, endpoint_url=endpoint, config=config)
