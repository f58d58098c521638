"""The pack as the engine sees it: a process that answers over gRPC."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as pb
from pulumi.runtime.proto import analyzer_pb2_grpc
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policy.model import UNKNOWN, StackRule
from policy.pack import plain
from policy.rules import RULES
from policy.taggable import LIST, scan
from tests.unit.policy.examples import EXAMPLES, FOUR, GROUP, ROLE_POLICY, allow

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1")


@pytest.fixture(scope="module")
def pack() -> Iterator[Any]:
    """A client of the running pack."""
    process = subprocess.Popen([*COMMAND, str(ROOT / "policy" / ".")], stdout=subprocess.PIPE, text=True, cwd="/")
    assert process.stdout
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        yield analyzer_pb2_grpc.AnalyzerStub(channel)
    process.kill()
    process.wait()


def struct(properties: Any) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(json.loads(json.dumps(properties, default=lambda _: UNKNOWN_STRING_VALUE)))
    return made


def analyzed(pack: Any, kind: str, **properties: Any) -> list[Any]:
    request = pb.AnalyzeRequest(
        type=kind, urn=f"urn:pulumi:dev::p::{kind}::it", name="it", properties=struct(properties)
    )
    return list(pack.Analyze(request).diagnostics)


def test_every_rule_is_a_mandatory_policy_that_says_what_it_is(pack: Any) -> None:
    info = pack.GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == "pavedpath"
    assert {each.name: each.description for each in info.policies} == {rule.name: rule.description for rule in RULES}
    assert {each.enforcementLevel for each in info.policies} == {pb.MANDATORY}


def test_a_violation_says_rule_fault_and_fix(pack: Any) -> None:
    (found,) = analyzed(pack, ROLE_POLICY, policy=allow("s3:*"))
    assert (found.policyName, found.enforcementLevel) == ("no-wildcard-permissions", pb.MANDATORY)
    assert found.message == (
        "No identity may do everything with everything.\n"
        "statement number 1 allows s3:* on every resource\n"
        "Fix: name the actions that are used, and the resources that they are used on"
    )


def test_all_rules_that_a_resource_breaks_are_told(pack: Any) -> None:
    found = analyzed(pack, GROUP, ingress=[{"cidrBlocks": ["0.0.0.0/0"]}])
    assert {each.policyName for each in found} == {"no-open-ingress", "required-tags"}


def test_unknown_values_and_secrets_are_taken(pack: Any) -> None:
    assert analyzed(pack, ROLE_POLICY, policy=UNKNOWN) == []
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": allow("*")}
    assert len(analyzed(pack, ROLE_POLICY, policy=secret)) == 1


def test_types_that_no_rule_knows_pass(pack: Any) -> None:
    for kind in ("pavedpath:index:Vpc", "pulumi:providers:aws", "random:index/randomId:RandomId"):
        assert analyzed(pack, kind, anything=[1, {"x": UNKNOWN}]) == []


def test_a_stack_is_judged_as_a_whole(pack: Any) -> None:
    def of(kind: str, name: str, properties: Any, **depends: str) -> Any:
        made = pb.AnalyzerResource(type=kind, name=name, urn=f"urn:{name}", properties=struct(properties))
        for key, urn in depends.items():
            made.propertyDependencies[key].urns.append(urn)
        return made

    bucket, block = "aws:s3/bucket:Bucket", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    resources = [
        of(bucket, "logs", {"bucket": UNKNOWN}),
        of(bucket, "state", {"bucket": UNKNOWN}),
        of(block, "block", {"bucket": UNKNOWN, **FOUR}, bucket="urn:logs"),
    ]
    found = pack.AnalyzeStack(pb.AnalyzeStackRequest(resources=resources)).diagnostics
    assert [(each.policyName, each.urn) for each in found] == [("bucket-public-access-block", "urn:state")]


def test_properties_become_plain_data() -> None:
    given = {"a": UNKNOWN_STRING_VALUE, "b": [1, UNKNOWN_STRING_VALUE, {"c": None}], "d": {"e": UNKNOWN_STRING_VALUE}}
    assert plain(unknown_checking_proxy(given)) == {"a": UNKNOWN, "b": [1, UNKNOWN, {"c": None}], "d": {"e": UNKNOWN}}


def copy_of_the_pack(tmp_path: Path, exemptions: str) -> Path:
    shutil.copytree(ROOT / "policy", tmp_path / "policy", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "policy" / "exemptions.toml").write_text(exemptions)
    return tmp_path / "policy"


def test_a_pack_with_wrong_exemptions_does_not_start(tmp_path: Path) -> None:
    broken = copy_of_the_pack(tmp_path, '[[exemption]]\nrule = "x"\n')
    ended = subprocess.run([*COMMAND, str(broken)], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode
    assert ended.stdout == ""
    assert "exemptions.toml: exemption 1: no rule is called x" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_pack_starts_quickly_for_it_loads_no_provider(tmp_path: Path) -> None:
    copy = copy_of_the_pack(tmp_path, "")
    pack = copy / "pack.py"
    tell = "import sys, os; os.write(2, repr(sorted(sys.modules)).encode())\n    PolicyPack("
    pack.write_text(pack.read_text().replace("PolicyPack(NAME", f"{tell}NAME"))
    with (tmp_path / "loaded").open("w") as told:
        process = subprocess.Popen([*COMMAND, str(copy)], stdout=subprocess.PIPE, stderr=told, text=True)
    assert process.stdout
    assert process.stdout.readline().strip().isdigit()
    process.kill()
    process.communicate()
    modules = (tmp_path / "loaded").read_text()
    assert "'pulumi_policy'" in modules
    assert not any(f"'{name}'" in modules for name in ("pulumi_aws", "pulumi_github", "pulumi_kubernetes"))


def test_the_list_of_what_takes_tags_is_the_sdks() -> None:
    spec = find_spec("pulumi_aws")
    assert spec
    assert spec.origin
    assert LIST.read_text().split() == scan(Path(spec.origin).parent), "write it anew: python -m policy.taggable"


def test_examples_survive_the_way_through_the_engine(pack: Any) -> None:
    """What the SDK makes of properties must not hide a fault, or make one up."""
    for rule in RULES:
        if isinstance(rule, StackRule):
            continue
        for _, resources in EXAMPLES[rule.name].bad:
            (each,) = resources
            request = pb.AnalyzeRequest(
                type=each.type, urn=each.urn, name=each.name, properties=struct(dict(each.properties))
            )
            assert rule.name in {found.policyName for found in pack.Analyze(request).diagnostics}
