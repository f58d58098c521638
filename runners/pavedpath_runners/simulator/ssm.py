"""A model of SSM parameters at the level of boto3's low-level client."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .dynamodb import AwsRefusals, client_error
from .engine import Engine

_LATENCY = 0.02


@dataclass
class _Parameter:
    value: str
    tags: Mapping[str, str]


class SSM:
    """Parameters by name, and who watches them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._refusals = AwsRefusals("ThrottlingException")
        self.parameters: dict[str, _Parameter] = {}
        self._names: dict[str, dict[str, None]] = {}
        """Names of parameters by their last part, in the order of writing."""
        self.on_put: Callable[[str], None] = lambda _: None
        """Called with the name of a parameter that was written."""

    def put_parameter(self, **request: Any) -> dict[str, Any]:
        """PutParameter; a parameter of that name is refused without Overwrite, and tags with it."""
        return self._engine.call("ssm", "PutParameter", _LATENCY, lambda: self._put(request), self._refusals)

    def get_parameter(self, **request: Any) -> dict[str, Any]:
        """GetParameter."""
        return self._engine.call("ssm", "GetParameter", _LATENCY, lambda: self._get(request), self._refusals)

    def delete_parameter(self, **request: Any) -> dict[str, Any]:
        """DeleteParameter; one that is not there is an error."""
        return self._engine.call("ssm", "DeleteParameter", _LATENCY, lambda: self._delete(request), self._refusals)

    def _put(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["Name"]
        if request.get("Overwrite") and request.get("Tags"):
            raise client_error(
                "PutParameter", "ValidationException", "Invalid request: tags and overwrite can't be used together."
            )
        old = self.parameters.get(name)
        if old is not None and not request.get("Overwrite"):
            raise client_error("PutParameter", "ParameterAlreadyExists", "The parameter already exists.")
        tags = {each["Key"]: each["Value"] for each in request.get("Tags", ())}
        self.parameters[name] = _Parameter(request["Value"], tags or (old.tags if old else {}))
        self._names.setdefault(_last(name), {})[name] = None
        self.on_put(name)
        return {"Version": 1}

    def _get(self, request: Mapping[str, Any]) -> dict[str, Any]:
        found = self.parameters.get(request["Name"])
        if found is None:
            raise client_error("GetParameter", "ParameterNotFound", "")
        return {"Parameter": {"Name": request["Name"], "Value": found.value}}

    def _delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request["Name"] not in self.parameters:
            raise client_error("DeleteParameter", "ParameterNotFound", "")
        self._remove(request["Name"])
        return {}

    def _remove(self, name: str) -> None:
        del self.parameters[name]
        names = self._names[_last(name)]
        del names[name]
        if not names:
            del self._names[_last(name)]

    def claim(self, instance: str, arn: str) -> str | None:
        """What the machine's own role may read: read and delete the parameter that is named for it and tagged with its
        ARN; None if there is none."""
        name = next(iter(self._names.get(instance, ())), None)
        if name is None or self.parameters[name].tags.get("pavedpath:instance", arn) != arn:
            return None
        value = self.parameters[name].value
        self._remove(name)
        return value


def _last(name: str) -> str:
    return name.rpartition("/")[2]
