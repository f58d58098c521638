"""The recipes: what is cut out of copied modules, and that every type the program uses is in the AWS bridge."""

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from toolchain.manifest import RECIPES

ROOT = Path(__file__).resolve().parents[3]
MAPPING: dict[str, dict[str, str]] = json.loads((RECIPES / "aws-provider/mapping.json").read_text())


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", RECIPES / name / "prepare.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AWS, KUBERNETES = recipe("aws-provider"), recipe("kubernetes-provider")


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def mapped() -> set[str]:
    """The types and functions of the bridge as Python programs name them: "ec2.Vpc", "get_caller_identity"."""
    names: set[str] = set()
    for entry in (*MAPPING["resources"].values(), *MAPPING["dataSources"].values()):
        module, name = entry.split("/")
        module = {"lambda": "lambda_", "index": ""}.get(module, module)
        python = snake(name) if name.startswith("get") else name
        names.add(f"{module}.{python}".lstrip("."))
    return names


def used(source: str) -> set[str]:
    """Resource types and functions of pulumi_aws that a module uses; helpers (…Args, _output) count as their type."""
    tree = ast.parse(source)
    aliases = {
        alias.asname or "pulumi_aws"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "pulumi_aws"
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        path = ast.unparse(node).split(".")
        if path[0] in aliases and re.match(r"[A-Z]|get_", path[-1]):
            name = path[-1].removesuffix("_output")
            if name == "Provider" or name.endswith(("Args", "ArgsDict", "Result")):
                continue
            names.add(".".join([*path[1:-1], name]))
        if len(path) >= 3 and path[0] == "pulumi_aws" and "pulumi_aws" not in aliases:
            names.add(".".join(path[1:]))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pulumi_aws":
            module = (node.module or "").partition(".")[2]
            names |= {f"{module}.{alias.name}".lstrip(".") for alias in node.names if alias.name[0].isupper()}
    return names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import pulumi_aws as aws\naws.ec2.Vpc('x', aws.ec2.VpcArgs())", {"ec2.Vpc"}),
        ("import pulumi_aws as aws\naws.get_region_output()", {"get_region"}),
        ("import pulumi_aws\npulumi_aws.s3.Bucket('x')", {"s3.Bucket"}),
        ("from pulumi_aws.rds import Instance", {"rds.Instance"}),
        ("import pulumi_aws as aws\naws.Provider('p')", set[str]()),
        ("import other as aws\naws.ec2.Vpc('x')", set[str]()),
    ],
)
def test_the_scan_finds_every_way_to_name_a_type(source: str, names: set[str]) -> None:
    assert used(source) == names


def test_every_type_that_the_program_uses_is_in_the_bridge() -> None:
    missing: list[str] = []
    for path in (file for room in ("stacks", "components") for file in sorted((ROOT / room).rglob("*.py"))):
        missing += [f"{path.relative_to(ROOT)}: aws.{name}" for name in sorted(used(path.read_text()) - mapped())]
    assert not missing, f"add to toolchain/recipes/aws-provider/mapping.json: {missing}"


def test_the_mapping_has_one_entry_per_type() -> None:
    for kind in ("resources", "dataSources"):
        entries = list(MAPPING[kind].values())
        assert all(re.fullmatch(r"[a-z0-9]+/[A-Za-z0-9]+", entry) for entry in entries)
        assert len(entries) == len(set(entries))


def test_services_bring_what_they_import(tmp_path: Path) -> None:
    module = AWS.MODULE
    services = {"ec2": f'import "{module}/internal/service/iam"', "iam": "package iam", "rds": "package rds"}
    for name, text in services.items():
        (tmp_path / "internal/service" / name).mkdir(parents=True)
        (tmp_path / "internal/service" / name / "a.go").write_text(text)
        (tmp_path / "internal/service" / name / "a_test.go").write_text(f'"{module}/internal/service/rds"')
    assert AWS.closure(tmp_path, ["ec2"]) == {"ec2", "iam"}
    with pytest.raises(ValueError, match="no service 'nope'"):
        AWS.closure(tmp_path, ["nope"])


def test_the_generated_lists_keep_only_what_is_wanted() -> None:
    packages = f"""import (
\t"{AWS.MODULE}/internal/service/ec2"
\tlogs_ "{AWS.MODULE}/internal/service/logs"
\t"{AWS.MODULE}/internal/service/rds"
)
\t\tec2.ServicePackage(ctx),
\t\tlogs_.ServicePackage(ctx),
\t\trds.ServicePackage(ctx),
"""
    cut = AWS.trim_packages(packages, {"ec2", "logs"})
    assert "rds" not in cut
    assert cut.count("ec2") == 2
    assert cut.count("logs_") == 2
    clients = """import (
\t"context"
\t"github.com/aws/aws-sdk-go-v2/service/ec2"
\trds_sdkv2 "github.com/aws/aws-sdk-go-v2/service/rds"
)
func (c *AWSClient) EC2Client(ctx context.Context) *ec2.Client {
}
func (c *AWSClient) RDSClient(ctx context.Context) *rds_sdkv2.Client {
}
"""
    cut = AWS.trim_clients(clients, {"EC2Client"})
    assert "rds" not in cut
    assert '"context"' in cut
    assert "EC2Client" in cut


def requirements(name: str) -> dict[str, str]:
    return dict(re.findall(r"^\t?(?:require )?(\S+) (v\S+)", (RECIPES / name / "go.mod").read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("first", "second"),
    [("pulumi", "github-provider"), ("pulumi", "aws-provider"), ("pulumi", "sops"), ("control-plane", "kwok")],
)
def test_recipes_share_versions_so_that_a_package_is_compiled_once(first: str, second: str) -> None:
    one, other = requirements(first), requirements(second)
    heavy = "grpc|protobuf|x/net|k8s.io/client-go|pulumi/(sdk|pkg)/v3|aws-sdk-go-v2"
    shared = {module for module in set(one) & set(other) if re.search(rf"(^|/)({heavy})$", module)}
    differ = {module for module in shared if one[module] != other[module]}
    assert len(shared) > 2
    assert not differ, f"`go get` the versions of {first} in {second}"


KINDS = """package v2

import (
\t"fmt"

\tappsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
)

func register() {
\tswitch key {
\tcase "apps/v1/Deployment":
\t\tvar res appsv1.Deployment
\tdefault:
\t\tvar res apiextensions.CustomResource
\t}
}
"""


def test_only_the_generic_case_stays() -> None:
    cut = cast("str", KUBERNETES.keep_generic_case(KINDS))
    assert "appsv1" not in cut
    assert '"strings"' in cut
    assert 'apiVersion = "core/" + apiVersion' in cut
    assert "var res apiextensions.CustomResource" in cut


def test_a_file_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kinds\.go has no"):
        KUBERNETES.keep_generic_case(KINDS.replace("var res apiextensions", "something else"))
