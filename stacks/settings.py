"""The settings of a stack: Pulumi configuration parsed into frozen models, every mistake reported at once.

`python -m stacks.settings` writes the JSON Schemas that the head of each Pulumi.<stack>.yaml names.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

import pulumi
from pavedpath import NatMode, Visibility
from pavedpath.errors import Problem
from pavedpath.names import IMAGE_REPOSITORY, ORGANIZATION, RELEASE, REPOSITORY, NameRule
from pavedpath.subnets import check_cidr, check_zones
from pavedpath.workflows import ChecksWorkflow
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

PROJECT = "pavedpath"
ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "stacks" / "schema"


def _checked(problems_of: Callable[[Any], Iterable[Problem]]) -> AfterValidator:
    """Make a rule of the components a validator of one field, so that it is applied whatever the others hold."""

    def check(value: Any) -> Any:
        problems = list(problems_of(value))
        if problems:
            whys, fixes = (dict.fromkeys(getattr(problem, part) for problem in problems) for part in ("why", "fix"))
            raise PydanticCustomError("problem", "{why}", {"why": "; ".join(whys), "fix": "; ".join(fixes)})
        return value

    return AfterValidator(check)


def _named_by(rule: NameRule) -> AfterValidator:
    def problems(name: str) -> Iterator[Problem]:
        return rule.check("name", name)

    return _checked(problems)


def _check_jobs(checks: Mapping[str, str]) -> Iterator[Problem]:
    return ChecksWorkflow(checks).problems()


OrganizationStr = Annotated[str, _named_by(ORGANIZATION)]
RepositoryStr = Annotated[str, _named_by(REPOSITORY)]
ImageStr = Annotated[str, _named_by(IMAGE_REPOSITORY)]
# An application's name is its namespace's and its release's, which allows the fewer characters.
ApplicationStr = Annotated[str, _named_by(RELEASE)]
SlugStr = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True)


class RepositorySettings(_Model):
    """One GitHub repository, as the shared stack makes it."""

    description: str = ""
    """One line about the repository."""
    visibility: Visibility = Visibility.PRIVATE
    """Who sees it."""
    topics: tuple[SlugStr, ...] = ()
    """Topics."""
    approvals: Annotated[int, Field(ge=0, le=10)] = 1
    """Approving reviews that a pull request needs."""
    checks: Annotated[Mapping[str, str], Field(min_length=1), _checked(_check_jobs)]
    """Shell command of each required check, by job id."""


class NetworkSettings(_Model):
    """The environment's VPC."""

    cidr: Annotated[str, _checked(check_cidr)]
    """IPv4 range, /16 to /22, private."""
    zones: Annotated[tuple[str, ...], _checked(check_zones)]
    """Names of 1 to 6 availability zones."""
    nat: NatMode = NatMode.ONE
    """How private subnets reach the internet."""


class ImagesSettings(_Model):
    """The environment's image registry."""

    repositories: Annotated[tuple[ImageStr, ...], Field(min_length=1)]
    """Names of the image repositories, for example storefront/api."""
    keep_images: Annotated[int, Field(ge=1)] = 30
    """Tagged images that each keeps."""
    keep_untagged_days: Annotated[int, Field(ge=1)] = 7
    """Days until an untagged image goes."""


class DeploymentSettings(_Model):
    """How one repository deploys to this environment."""

    branches: Annotated[tuple[str, ...], Field(min_length=1)] = ("main",)
    """Patterns of the branches that may deploy."""
    wait_timer_minutes: Annotated[int, Field(ge=0, le=43_200)] = 0
    """Minutes that a deployment waits before it starts."""


class ApplicationSettings(_Model):
    """One application, deployed as a Helm release into a namespace of its own name."""

    repository: str
    """Name of the GitHub repository whose jobs deploy it."""
    chart: str
    """Directory of the chart, from the project's root."""
    secrets: bool = True
    """Whether etc/helm_values/<application>/<environment>.secrets.yaml belongs to it."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    """Seconds that a revision may take to become ready before it is rolled back."""


class SharedSettings(_Model):
    """Settings of the stack shared: what all environments have in common."""

    owner: SlugStr
    """Team that answers for the stack; a tag of every resource."""
    organization: OrganizationStr
    """GitHub organisation."""
    repositories: Annotated[Mapping[RepositoryStr, RepositorySettings], Field(min_length=1)]
    """Repositories by name."""


class EnvironmentSettings(_Model):
    """Settings of an environment's stack."""

    owner: SlugStr
    """Team that answers for the stack; a tag of every resource."""
    organization: OrganizationStr
    """GitHub organisation."""
    network: NetworkSettings
    images: ImagesSettings
    deployments: Annotated[Mapping[RepositoryStr, DeploymentSettings], Field(min_length=1)]
    """Repositories that deploy to this environment, by name; the shared stack owns them."""
    applications: Mapping[ApplicationStr, ApplicationSettings]
    """Applications by name."""


SettingsT = TypeVar("SettingsT", bound=SharedSettings | EnvironmentSettings)
Environment = Literal["dev", "prod"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)
MODELS: dict[str, type[SharedSettings] | type[EnvironmentSettings]] = {
    "shared": SharedSettings,
    **dict.fromkeys(ENVIRONMENTS, EnvironmentSettings),
}


class SettingsError(pulumi.RunError):
    """A stack's configuration cannot be used; the message names every offender with its cause and fix."""


def parse_settings(
    model: type[SettingsT], stack: str, config: Mapping[str, str], secret_keys: Collection[str] = ()
) -> SettingsT:
    """Parse a stack's configuration.

    Args:
        model: what to parse into.
        stack: name of the stack, for messages.
        config: the engine's flat configuration, `namespace:key` to text; structured values are JSON.
        secret_keys: keys whose values no message may show.

    Raises:
        SettingsError: with every mistake.
    """
    values = {
        key.removeprefix(f"{PROJECT}:"): _decode(text) for key, text in config.items() if key.startswith(f"{PROJECT}:")
    }
    mistakes: list[str] = []
    settings: SettingsT | None = None
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        mistakes += _explain(model, error, secret_keys)
    mistakes += _disagreements(values, config)
    if mistakes or settings is None:
        lines = "\n".join(f"  - {stack}: {mistake}" for mistake in mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise SettingsError(f"Pulumi.{stack}.yaml: {count} in the settings\n{lines}")
    return settings


def _decode(text: str) -> object:
    """Return the value that a person wrote: structured values are JSON, any other text is itself.

    Numbers and booleans stay text, so that a name may look like one; the models convert them where they are meant.
    """
    try:
        decoded: object = json.loads(text)
    except ValueError:
        return text
    return cast(object, decoded) if isinstance(decoded, dict | list) else text


def _disagreements(values: Mapping[str, object], config: Mapping[str, str]) -> Iterator[str]:
    """Yield settings of ours that contradict those of a provider: they would go to two places."""
    owner, organization = config.get("github:owner"), values.get("organization")
    if owner is not None and organization is not None and owner != organization:
        yield (
            f"github:owner = {owner}, but {PROJECT}:organization = {_short(organization)}: one would get the"
            " resources, the other the trust. Fix: make them the same"
        )
    yield from _unknown_repositories(values)
    region, network = config.get("aws:region"), values.get("network")
    zones = cast(Mapping[str, object], network).get("zones") if isinstance(network, dict) else None
    if region is not None and isinstance(zones, list):
        named = [str(zone) for zone in cast(list[object], zones)]
        elsewhere = [zone for zone in named if zone[:-1] != region and not list(check_zones([zone]))]
        if elsewhere:
            yield (
                f"{PROJECT}:network.zones = {_short(elsewhere)}: they do not lie in aws:region = {region}."
                " Fix: name zones of that region"
            )


def _unknown_repositories(values: Mapping[str, object]) -> Iterator[str]:
    applications, deployments = values.get("applications"), values.get("deployments")
    if not isinstance(applications, dict) or not isinstance(deployments, dict):
        return
    known = cast(dict[str, object], deployments)
    for name, application in cast(dict[str, object], applications).items():
        repository = cast(dict[str, object], application).get("repository") if isinstance(application, dict) else None
        if isinstance(repository, str) and repository not in known:
            yield (
                f"{PROJECT}:applications.{name}.repository = {_short(repository)}: it does not deploy here."
                f" Fix: add it to {PROJECT}:deployments, or write one of: {', '.join(sorted(known))}"
            )


def _explain(model: type[BaseModel], error: ValidationError, secret_keys: Collection[str]) -> Iterator[str]:
    details = error.errors(include_url=False)
    missing = {detail["loc"] for detail in details if detail["type"] == "missing"}
    meant = {loc: near for loc, near in _misspelt(model, details) if near in missing}
    for detail in details:
        inside = [other for other in details if other["loc"][:-1] == detail["loc"]]
        if detail["loc"] in meant.values() or (detail["type"] == "too_short" and inside):
            continue  # said with the misspelt name, or with the items that were refused
        location = [part for part in detail["loc"] if part != "[key]"]  # pydantic's mark of a mapping's key
        key = f"{PROJECT}:{'.'.join(map(str, location))}"
        shown = "[secret]" if f"{PROJECT}:{location[0]}" in secret_keys else _short(detail["input"])
        given = "" if detail["type"] == "missing" else f" = {shown}"
        why, fix = _why_and_fix(model, detail, meant)
        yield f"{key}{given}: {why}. Fix: {fix}"


def _misspelt(
    model: type[BaseModel], details: Iterable[ErrorDetails]
) -> Iterator[tuple[tuple[int | str, ...], tuple[int | str, ...]]]:
    """Yield the place of each unknown name and that of the valid one nearest to it."""
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *above, name = detail["loc"]
            for near in difflib.get_close_matches(str(name), _names_beside(model, detail["loc"]), n=1):
                yield detail["loc"], (*above, near)


_PLAIN = {
    "tuple_type": ("it is not a list", "write a list, for example [main]"),
    "string_type": ("it is not text", "write text, in quotes where YAML would read something else"),
    "too_short": ("it is empty", "name at least one"),
    "missing": ("it is required and not given", "add it"),
    "string_pattern_mismatch": ("it cannot be used as a tag", "use up to 40 of a-z, 0-9 and -, not - at an end"),
}


def _why_and_fix(
    model: type[BaseModel], detail: ErrorDetails, meant: Mapping[tuple[int | str, ...], tuple[int | str, ...]]
) -> tuple[str, str]:
    if detail["type"] == "problem":
        context = detail.get("ctx", {})
        return context["why"], context["fix"]
    if detail["type"] == "extra_forbidden":
        near = meant.get(detail["loc"])
        guess = f"did you mean {near[-1]}? It takes" if near else "remove it, or write one of"
        return "there is no such setting", f"{guess}: {', '.join(sorted(_names_beside(model, detail['loc'])))}"
    if detail["type"] in _PLAIN:
        return _PLAIN[detail["type"]]
    return detail["msg"].replace("Input should be", "it should be"), "correct the value"


def _names_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the valid names at the place of an unknown one, by walking the model's JSON Schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for part in location[:-1]:
        properties: dict[str, Any] = node.get("properties", {})
        node = properties.get(str(part)) or node.get("additionalProperties") or node.get("items") or {}
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return list(node.get("properties", {}))


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def file_schema(model: type[SharedSettings] | type[EnvironmentSettings]) -> dict[str, Any]:
    """Return the JSON Schema of a whole Pulumi.<stack>.yaml whose settings are of this model."""
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    config: dict[str, Any] = {
        "type": "object",
        "properties": {f"{PROJECT}:{name}": node for name, node in schema["properties"].items()},
        "required": [f"{PROJECT}:{name}" for name in schema.get("required", [])],
        # Other namespaces are the providers' own; ours takes no unknown key.
        "patternProperties": {f"^(?!{re.escape(PROJECT)}:)": {}},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": model.__name__,
        "description": model.__doc__,
        "type": "object",
        "properties": {"config": config, "encryptionsalt": {"type": "string"}, "secretsprovider": {"type": "string"}},
        "required": ["config"],
        "$defs": definitions,
    }


def schema_files() -> dict[Path, str]:
    """Return the text of each generated schema by its path."""
    return {
        SCHEMAS / f"{name}.json": json.dumps(file_schema(model), indent=2) + "\n"
        for name, model in {"shared": SharedSettings, "environment": EnvironmentSettings}.items()
    }


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in schema_files().items():
        path.write_text(text)
