"""The installed toolchain: versions, what the engine says about it, and that our bridges speak the SDKs' language."""

import collections.abc
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pulumi
import pytest

# The generated SDKs keep their property names and types in no public place; the SDK's own serialiser reads these.
from pulumi import _types as sdk_types  # pyright: ignore[reportPrivateUsage] - see above

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
Properties = Mapping[str, Any]

DIFFERENCES = {
    # Pulumi's own addition: it removes default add-ons after the cluster is made.
    "aws:eks/cluster:Cluster.defaultAddonsToRemoves": "added by the official provider's patches",
    # The bucket's own block is deprecated; BucketServerSideEncryptionConfiguration has the property in both.
    "aws:s3/bucket:Bucket.serverSideEncryptionConfiguration.rule.blockedEncryptionTypes": "added by a patch",
    # An object without properties: its presence is its meaning.
    "aws:s3/bucketLogging:BucketLogging.targetObjectKeyFormat.simplePrefix": "an object without properties",
    "github:index/getApp:getApp": "new upstream, not yet in the SDK",
}


def installed() -> dict[str, dict[str, str]]:
    return json.loads((ROOT / ".toolchain/installed.json").read_text())


VERSIONS = [
    pytest.param(name, words.split(), version, id=name)
    for name, words, version in (
        ("pulumi", "version", "3.259.0"),
        ("sops", "--version --disable-version-check", "3.13.1"),
        ("etcd", "--version", "3.6.11"),
        ("kube-apiserver", "--version", "1.36.2"),
        ("kube-controller-manager", "--version", "1.36.2"),
        ("kube-scheduler", "--version", "1.36.2"),
        ("kwok", "--version", "0.8.0"),
        ("registry", "--version", "3.1.1"),
        ("actionlint", "-version", "1.7.12"),
    )
]


@pytest.mark.parametrize(("name", "words", "version"), VERSIONS)
def test_every_tool_runs_and_says_its_version(toolchain: Path, name: str, words: list[str], version: str) -> None:
    told = subprocess.run([toolchain / name, *words], capture_output=True, text=True, check=True, timeout=400)
    assert version in told.stdout + told.stderr


def test_ensure_has_nothing_to_do(toolchain: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "toolchain", "ensure"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == ""


# The engine


@pytest.fixture
def project(toolchain: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A project of one file, its environment, and a state directory."""
    (tmp_path / "state").mkdir()
    (tmp_path / "venv").symlink_to(sys.prefix)
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: {name: python, options: {virtualenv: venv}}\n")
    env = dict(os.environ) | {
        "PATH": f"{toolchain}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_HOME": str(toolchain.parent / "pulumi-home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "not secret",
    }
    subprocess.run(["pulumi", "stack", "init", "dev"], cwd=tmp_path, env=env, check=True, capture_output=True)
    return tmp_path, env


def up(project: tuple[Path, dict[str, str]], program: str) -> subprocess.CompletedProcess[str]:
    directory, env = project
    (directory / "__main__.py").write_text(program)
    command = ["pulumi", "up", "--yes", "--skip-preview"]
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=400)


def test_a_program_runs_in_its_environment_and_no_warning_is_shown(project: tuple[Path, dict[str, str]]) -> None:
    done = up(project, "import sys, pulumi\npulumi.export('prefix', sys.prefix)\nprint('hello')")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(project[0] / "venv") in done.stdout
    assert "hello" in done.stdout
    assert "$PATH" not in done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()


def test_a_type_that_was_left_out_says_what_to_do(project: tuple[Path, dict[str, str]]) -> None:
    if installed()["pulumi-resource-aws"]["source"] != "build":
        pytest.skip("the official AWS provider leaves out nothing")
    program = """
import pulumi_aws as aws
provider = aws.Provider("p", region="us-east-1", access_key="a", secret_key="b", skip_credentials_validation=True,
                        skip_requesting_account_id=True, skip_metadata_api_check=True)
aws.rds.Instance("x", instance_class="db.t4g.micro", opts=__import__("pulumi").ResourceOptions(provider=provider))
"""
    done = up(project, program)
    assert done.returncode != 0
    assert "leaves out aws:rds/instance:Instance" in done.stdout
    assert "toolchain/recipes/aws-provider/mapping.json" in done.stdout


def test_no_program_outlives_a_killed_engine(project: tuple[Path, dict[str, str]]) -> None:
    directory, env = project
    (directory / "__main__.py").write_text(
        "import os, time\nopen('pid.new', 'w').write(str(os.getpid()))\nos.rename('pid.new', 'pid')\ntime.sleep(600)"
    )
    engine = subprocess.Popen(["pulumi", "preview"], cwd=directory, env=env, stdout=subprocess.DEVNULL)
    wait_for((directory / "pid").exists)
    pid = int((directory / "pid").read_text())
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_policy_pack_stops_an_update(project: tuple[Path, dict[str, str]]) -> None:
    pytest.importorskip("pulumi_policy")
    directory, env = project
    pack = directory / "pack"
    pack.mkdir()
    (pack / "venv").symlink_to(sys.prefix)
    (pack / "PulumiPolicy.yaml").write_text("runtime: {name: python, options: {virtualenv: venv}}\n")
    (pack / "__main__.py").write_text("""
from pulumi_policy import EnforcementLevel, PolicyPack, StackValidationPolicy

never = StackValidationPolicy("never", "nothing is allowed", lambda args, report: report("not this one"))
PolicyPack("pack", [never], EnforcementLevel.MANDATORY)
""")
    (directory / "__main__.py").write_text("import pulumi\npulumi.export('a', 1)")
    command = ["pulumi", "preview", "--policy-pack", str(pack)]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode != 0
    assert "not this one" in done.stdout


def test_a_component_package_tells_its_schema(project: tuple[Path, dict[str, str]]) -> None:
    directory, env = project
    package = directory / "package"
    package.mkdir()
    (package / "venv").symlink_to(sys.prefix)
    (package / "PulumiPlugin.yaml").write_text("runtime: {name: python, options: {virtualenv: venv}}\n")
    (package / "__main__.py").write_text("""
from typing import TypedDict
import pulumi
from pulumi.provider.experimental import component_provider_host

class ThingArgs(TypedDict):
    size: pulumi.Input[int]

class Thing(pulumi.ComponentResource):
    def __init__(self, name: str, args: ThingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("things:index:Thing", name, {}, opts)

component_provider_host(name="things", components=[Thing])
""")
    command = ["pulumi", "package", "get-schema", str(package)]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(json.loads(done.stdout)["resources"]["things:index:Thing"]["inputProperties"]) == ["size"]


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# The bridges


def classes(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in typing.get_args(annotation):
        yield from classes(part)


def properties(types: Mapping[str, object], within: tuple[type, ...], *, inputs: bool) -> dict[str, Any]:
    """Names of a class's properties; objects as dictionaries, recursion (WAF statements and the like) cut off."""
    found: dict[str, Any] = {}
    is_object = sdk_types.is_input_type if inputs else sdk_types.is_output_type
    for name, annotation in types.items():
        nested = next((c for c in classes(annotation) if is_object(c)), None)
        fields = None
        if nested and nested not in within:
            get = sdk_types.input_type_types if inputs else sdk_types.output_type_types
            fields = properties(get(nested), (*within, nested), inputs=inputs)
        found[name] = {"list": is_list(annotation), "fields": fields}
    return found


def is_list(annotation: object) -> bool:
    """Whether the outermost thing that an annotation allows is a sequence."""
    if typing.get_origin(annotation) in (list, collections.abc.Sequence):
        return True
    wrappers = (typing.Union, types.UnionType, pulumi.Output, collections.abc.Awaitable)
    return typing.get_origin(annotation) in wrappers and any(map(is_list, typing.get_args(annotation)))


def camel(name: str) -> str:
    return re.sub(r"_+([a-z0-9])", lambda m: m[1].upper(), name.rstrip("_"))


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def sdk_properties(sdk: ModuleType, token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Inputs and outputs of a type or function by its token; None when the SDK has no such class."""
    if token.startswith("pulumi:providers:"):
        arguments = sys.modules[sdk.Provider.__module__].ProviderArgs
        return properties(sdk_types.input_type_types(arguments), (), inputs=True), {}
    _, module, name = token.split(":")
    module = module.split("/")[0]
    namespace = sdk if module == "index" else getattr(sdk, {"lambda": "lambda_"}.get(module, module))
    if name.startswith("get"):
        result, function = (
            getattr(namespace, name[0].upper() + name[1:] + "Result", None),
            getattr(namespace, snake(name), None),
        )
        if result is None or function is None:
            return None
        parameters = [parameter for parameter in inspect.signature(function).parameters if parameter != "opts"]
        given = {camel(parameter): {"list": None, "fields": None} for parameter in parameters}
        return given, properties(sdk_types.output_type_types(result), (), inputs=False)
    resource = getattr(namespace, name, None)
    if resource is None:
        return None
    scope = vars(importlib.import_module(resource.__module__))
    arguments = scope.get(f"{name}InitArgs") or scope[f"{name}Args"]
    return (
        properties(sdk_types.input_type_types(arguments), (), inputs=True),
        properties(sdk_types.resource_types(resource), (), inputs=False),
    )


def compare(
    path: str, bridge: Properties, sdk: Properties | None, *, inputs: bool, nested: bool = False
) -> Iterator[str]:
    """Paths of the properties that only one side has. `id` is every resource's, and listed by neither or by one.

    Nested objects of the SDK list what is computed among their inputs as well.
    """
    have = {name: one for name, one in bridge.items() if nested or not inputs or one["input"]}
    for name in sorted((set(have) ^ set(sdk or ())) - {"id"}):
        yield f"{path}.{name}"
    for name in sorted(set(have) & set(sdk or ())):
        known = cast("Properties", sdk)[name]
        fields, other = have[name].get("fields"), known["fields"]
        if known["list"] is not None and have[name].get("list", False) != known["list"]:
            yield f"{path}.{name} (one or many)"
        if fields and other is not None:
            yield from compare(f"{path}.{name}", fields, other, inputs=inputs, nested=True)
        elif bool(fields) != (other is not None) and not have[name].get("document"):
            yield f"{path}.{name}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old names of types, which the SDK warns about on import
@pytest.mark.parametrize("name", ["aws", "github"])
def test_every_property_has_the_name_of_the_python_sdk(toolchain: Path, name: str) -> None:
    facts = installed()[f"pulumi-resource-{name}"]
    if facts["source"] != "build":
        pytest.skip(f"the official {name} provider is installed: the SDK is generated from it")
    told = subprocess.run([facts["path"], "-describe"], capture_output=True, text=True, check=True, timeout=400)
    bridge: dict[str, Properties] = json.loads(told.stdout)
    assert len(bridge) > 100
    sdk = importlib.import_module(f"pulumi_{name}")
    found: set[str] = set()
    for token, described in bridge.items():
        known = sdk_properties(sdk, token)
        if known is None:
            found.add(token)
            continue
        # A function's parameters are compared by name alone: their annotations have no one form.
        given = {key: one | {"fields": None} for key, one in described.items()} if ":get" in token else described
        found |= set(compare(token, given, known[0], inputs=True))
        if known[1]:
            found |= set(compare(token, described, known[1], inputs=False))
    expected = {path for path in DIFFERENCES if path.startswith(f"{name}:")}
    assert found == expected


def test_the_comparison_finds_a_difference() -> None:
    def known(fields: Properties | None = None, *, many: bool = False) -> Properties:
        return {"list": many, "fields": fields}

    bridge = {"a": {"input": True}, "b": {"input": True, "fields": {"c": {"input": False}}}, "o": {"input": False}}
    one, other = known({"c": known()}), known({"d": known()})
    assert list(compare("t", bridge, {"a": known(), "b": one}, inputs=True)) == []
    assert list(compare("t", bridge, {"x": known(), "b": other}, inputs=True)) == ["t.a", "t.x", "t.b.c", "t.b.d"]
    assert list(compare("t", bridge, {"a": known(), "b": known(), "o": known()}, inputs=False)) == ["t.b"]
    assert list(compare("t", {"a": {"input": True}}, {"a": known(many=True)}, inputs=True)) == ["t.a (one or many)"]
