"""The whole sandbox with real programs: etcd, the control plane, kwok, the registry, AWS and GitHub."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, cast

import boto3
import httpx
import psutil
import pytest
import yaml
from pavedpath_sandbox import state
from pavedpath_sandbox.kubernetes.nodes import Api
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.sandbox import Sandbox
from pavedpath_sandbox.supervisor import Result

from tests.integration.conftest import ROOT, World, kubernetes_client
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

HTTP = httpx.Client(timeout=120, limits=httpx.Limits(max_keepalive_connections=0))
"""Patient, and without connections that a part's restart would break."""
MEMORY_LIMIT = 1.2e9
SECOND_CLUSTER_MEMORY = 0.75e9
PARTS = {
    *("aws", "github", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "registry"),
    "charts",
    "ingress",
    "functions",
}


@pytest.fixture(scope="module")
def started_with(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Sandbox, Mapping[str, set[str]]]]:
    """A sandbox, and which parts had been started when each of them was ready."""
    made = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    seen: dict[str, set[str]] = {}

    def ready(result: Result) -> None:
        remembered = state.load(made.layout)
        seen[result.part] = set(remembered.processes) if remembered else set()

    try:
        made.up(notify=ready)
        yield made, seen
    finally:
        made.reset()
    root = made.layout.root
    assert not root.exists()
    left = [process for process in psutil.process_iter() if str(root) in " ".join(_command(process))]
    assert left == []


@pytest.fixture(scope="module")
def sandbox(started_with: tuple[Sandbox, Mapping[str, set[str]]]) -> Sandbox:
    return started_with[0]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Api:
    config = yaml.safe_load(sandbox.layout.cluster().kubeconfig.read_text())
    port = int(config["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    return Api(port, sandbox.layout.cluster().pki / "ca.crt", config["users"][0]["user"]["token"])


def aws_client(sandbox: Sandbox, service: str, environment: str = "dev") -> Any:
    values = sandbox.environment(environment)
    return cast("Any", boto3).client(
        service,
        endpoint_url=values["AWS_ENDPOINT_URL"],
        region_name=values["AWS_REGION"],
        aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
    )


def eventually(what: Callable[[], Any], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return value


def items(answer: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    assert answer[0] == 200, answer
    return answer[1]["items"]


def deployment(name: str, image: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    containers = [{"name": "main", "image": image}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pods(api: Api, label: str) -> list[dict[str, Any]]:
    return items(api.call("GET", f"/api/v1/namespaces/default/pods?labelSelector={label}"))


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_no_part_waits_for_another_that_it_does_not_need(started_with: tuple[Sandbox, Mapping[str, set[str]]]) -> None:
    # How long it takes is `make bench`'s to say. The API server is the part that others wait for longest.
    of_the_cluster = {"kube-controller-manager", "kube-scheduler", "kwok"}
    assert started_with[1]["kube-apiserver"] == PARTS - of_the_cluster


def test_all_parts_are_healthy_in_little_memory(sandbox: Sandbox) -> None:
    found = sandbox.status()
    assert {part.part for part in found} == PARTS
    assert [part for part in found if part.state != "healthy"] == []
    for part in found:
        sys.stdout.write(f"\n{part.part:<24} {(part.memory or 0) / 1e6:6.0f} MB")
    total = sum(part.memory or 0 for part in found)
    sys.stdout.write(f"\n{'all':<24} {total / 1e6:6.0f} MB\n")
    assert total < MEMORY_LIMIT


def test_everything_listens_on_loopback_only(sandbox: Sandbox) -> None:
    for part in sandbox.status():
        listening = [each for each in psutil.Process(part.pid).net_connections() if each.status == psutil.CONN_LISTEN]
        assert listening
        assert {each.laddr.ip for each in listening} == {"127.0.0.1"}


def test_a_second_up_changes_nothing(sandbox: Sandbox) -> None:
    before = sandbox.status()
    assert {result.outcome for result in sandbox.up()} == {"unchanged"}
    assert [part.pid for part in sandbox.status()] == [part.pid for part in before]


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_killed_part_is_repaired(sandbox: Sandbox, part: str) -> None:
    before = {each.part: each for each in sandbox.status()}
    os.kill(cast("int", before[part].pid), signal.SIGKILL)
    eventually(lambda: {each.part for each in sandbox.status() if each.state == "stopped"} >= {part})
    started = time.monotonic()
    results = {result.part: result.outcome for result in sandbox.up()}
    sys.stdout.write(f"\n{part} repaired in {time.monotonic() - started:.1f} s\n")
    assert results[part] == "started"
    assert set(results.values()) <= {"started", "unchanged"}
    after = {each.part: each for each in sandbox.status()}
    assert {each.state for each in after.values()} == {"healthy"}
    assert after[part].address == before[part].address


def test_pods_run_right_after_kwok_was_replaced(sandbox: Sandbox, api: Api) -> None:
    pid = next(part.pid for part in sandbox.status() if part.part == "kwok")
    os.kill(cast("int", pid), signal.SIGKILL)
    sandbox.up()
    assert api.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("after", "app:1"))[0] == 201
    eventually(lambda: [pod for pod in pods(api, "app=after") if is_ready(pod)], seconds=30)  # not the lease's 40
    api.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/after")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_up_that_was_cut_short_is_finished_by_the_next(sandbox: Sandbox, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "pavedpath_sandbox", "up", "--dir", str(sandbox.layout.root)]
    ends: set[int] = set()
    for delay in (0.1, 1.0, 2.5):
        sandbox.down()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
            eventually(lambda up=up: sandbox.layout.lock_file.read_text() == str(up.pid))  # it has begun
            time.sleep(delay)
            up.send_signal(how)
            ends.add(up.wait(timeout=300))
        sandbox.up()
        assert {each.state for each in sandbox.status()} == {"healthy"}
        marked = [
            process for process in psutil.process_iter() if str(sandbox.layout.root) in " ".join(_command(process))
        ]
        assert len([process for process in marked if process.status() != psutil.STATUS_ZOMBIE]) <= len(PARTS)
    cut_short = -how if how is signal.SIGKILL else 128 + how
    assert cut_short in ends
    assert ends <= {cut_short, 0}  # 0: it was done before


def test_aws_state_outlives_a_killed_process(sandbox: Sandbox) -> None:
    ec2, kms = aws_client(sandbox, "ec2"), aws_client(sandbox, "kms")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    key = kms.create_key(Description="survives")["KeyMetadata"]["Arn"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    seen = sorted(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"])
    pid = next(part.pid for part in sandbox.status() if part.part == "aws")
    os.kill(cast("int", pid), signal.SIGKILL)
    sandbox.up()
    assert sorted(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]) == seen
    assert vpc in seen
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"text"
    assert next(part.note for part in sandbox.status() if part.part == "aws") == ""


def test_managed_policies(sandbox: Sandbox) -> None:
    arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    assert aws_client(sandbox, "iam").get_policy(PolicyArn=arn)["Policy"]["Arn"] == arn


def test_every_request_is_replayed(sandbox: Sandbox, tmp_path: Path) -> None:
    with Sandbox(tmp_path / "second", groups=("aws",)) as second:
        ec2 = aws_client(second, "ec2")
        for number in range(200):
            ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
        second.down()
        second.up()
        health = HTTP.get(second.environment()["AWS_ENDPOINT_URL"] + "/_sandbox/health").json()
    assert health["replay"]["entries"] == 200
    assert health["replay"]["problems"] == []
    sys.stdout.write(f"\n200 requests replayed in {health['replay']['seconds']:.2f} s\n")


def test_the_cluster_has_nodes_in_two_zones(api: Api) -> None:
    nodes = items(api.call("GET", "/api/v1/nodes"))
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert zones == {"us-east-1a", "us-east-1b"}
    assert all(is_ready(node) for node in nodes)


def test_a_deployment_runs(api: Api) -> None:
    assert api.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("good", "app:1", 3))[0] == 201
    eventually(lambda: len(found := pods(api, "app=good")) == 3 and all(is_ready(pod) for pod in found))
    running = pods(api, "app=good")
    assert len({pod["spec"]["nodeName"] for pod in running}) > 1
    assert all(pod["status"]["containerStatuses"][0]["started"] for pod in running)
    assert api.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/good")[0] == 200
    eventually(lambda: not pods(api, "app=good"))


@pytest.mark.parametrize("image", ["registry.example/broken:1", "app:broken-2"])
def test_a_pod_of_a_broken_image_never_gets_ready(api: Api, image: str) -> None:
    name = "bad-" + hashlib.sha256(image.encode()).hexdigest()[:8]
    assert api.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(name, image))[0] == 201

    def waiting() -> Any:
        found = pods(api, f"app={name}")
        statuses = found[0]["status"].get("containerStatuses") if found else None
        return statuses and statuses[0]["state"].get("waiting")

    reason = eventually(waiting)
    assert reason["reason"] == "ImagePullBackOff"
    assert image in reason["message"]
    time.sleep(2)
    (pod,) = pods(api, f"app={name}")
    assert not is_ready(pod)
    assert pod["status"]["phase"] == "Pending"
    events = items(
        api.call("GET", f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid={pod['metadata']['uid']}")
    )
    assert any(event["type"] == "Warning" and event["reason"] == "Failed" for event in events)
    api.call("DELETE", f"/apis/apps/v1/namespaces/default/deployments/{name}")


def test_an_init_container_of_a_broken_image_holds_its_pod(api: Api) -> None:
    spec = {"initContainers": [{"name": "i", "image": "x:broken"}], "containers": [{"name": "c", "image": "app:1"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "held", "labels": {"app": "held"}}, "spec": spec}
    assert api.call("POST", "/api/v1/namespaces/default/pods", pod)[0] == 201
    eventually(lambda: pods(api, "app=held")[0]["status"].get("containerStatuses"))
    time.sleep(1)
    assert not is_ready(pods(api, "app=held")[0])
    api.call("DELETE", "/api/v1/namespaces/default/pods/held")


def test_a_job_completes(api: Api) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "job:1"}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": template}}
    assert api.call("POST", "/apis/batch/v1/namespaces/default/jobs", job)[0] == 201
    path = "/apis/batch/v1/namespaces/default/jobs/once"
    eventually(lambda: cast("Any", api.call("GET", path)[1])["status"].get("succeeded") == 1)
    api.call("DELETE", path)


def test_a_service_account_may_do_what_its_role_says_and_no_more(api: Api) -> None:
    rbac, group = "/apis/rbac.authorization.k8s.io/v1/namespaces/team", "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "create", "patch"]}]
    subject = {"kind": "ServiceAccount", "name": "deployer", "namespace": "team"}
    made = {
        "/api/v1/namespaces": {"kind": "Namespace", "metadata": {"name": "team"}},
        "/api/v1/namespaces/team/serviceaccounts": {"kind": "ServiceAccount", "metadata": {"name": "deployer"}},
        f"{rbac}/roles": {"kind": "Role", "metadata": {"name": "deploy"}, "rules": rules},
        f"{rbac}/rolebindings": {
            "kind": "RoleBinding",
            "metadata": {"name": "deploy"},
            "subjects": [subject],
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "deploy"},
        },
    }
    for path, body in made.items():
        assert api.call("POST", path, body)[0] == 201, path
    status, issued = api.call("POST", "/api/v1/namespaces/team/serviceaccounts/deployer/token", {"spec": {}})
    assert status == 201
    token = cast("Any", issued)["status"]["token"]
    deployer = Api(api.port, api.ca, token)
    eventually(lambda: deployer.call("GET", "/apis/apps/v1/namespaces/team/deployments")[0] == 200)
    assert deployer.call("POST", "/apis/apps/v1/namespaces/team/deployments", deployment("app", "app:1"))[0] == 201
    for method, path in (
        ("GET", "/api/v1/namespaces/team/secrets"),
        ("GET", "/apis/apps/v1/namespaces/default/deployments"),
        ("DELETE", "/apis/apps/v1/namespaces/team/deployments/app"),
        ("GET", "/api/v1/nodes"),
    ):
        assert deployer.call(method, path)[0] == 403, path
    assert Api(api.port, api.ca, "wrong").call("GET", "/api/v1/nodes")[0] == 401
    api.call("DELETE", "/api/v1/namespaces/team")


def test_cluster_and_registry_keep_their_state_over_a_restart(sandbox: Sandbox, api: Api) -> None:
    body = {"kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "b"}}
    assert api.call("POST", "/api/v1/namespaces/default/configmaps", body)[0] == 201
    url, digest = push(sandbox, b"kept layer")
    sandbox.down()
    assert {part.state for part in sandbox.status()} == {"stopped"}
    started = time.monotonic()
    sandbox.up()
    sys.stdout.write(f"\nwarm start: {time.monotonic() - started:.1f} s\n")
    assert cast("Any", api.call("GET", "/api/v1/namespaces/default/configmaps/kept")[1])["data"] == {"a": "b"}
    assert HTTP.get(f"{url}/blobs/{digest}").content == b"kept layer"
    api.call("DELETE", "/api/v1/namespaces/default/configmaps/kept")


def push(sandbox: Sandbox, content: bytes) -> tuple[str, str]:
    """Push an artifact of one layer as ``test/artifact:1``; return the repository's URL and the layer's digest."""
    address = next(part.address for part in sandbox.status() if part.part == "registry")
    url = f"{address}/v2/test/artifact"
    digests: list[str] = []
    for blob in (content, b"{}"):
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        place = HTTP.post(f"{url}/blobs/uploads/").headers["location"]
        done = HTTP.put(httpx.URL(place).copy_merge_params({"digest": digest}), content=blob)
        assert done.status_code == 201, done.text
        digests.append(digest)
    layer = {"mediaType": "application/octet-stream", "digest": digests[0], "size": len(content)}
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digests[1], "size": 2}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    }
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    assert HTTP.put(f"{url}/manifests/1", content=json.dumps(manifest), headers=kind).status_code == 201
    return url, digests[0]


def test_the_registry_takes_gives_and_deletes(sandbox: Sandbox) -> None:
    url, digest = push(sandbox, b"a chart or an image")
    kind = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = HTTP.get(f"{url}/manifests/1", headers=kind)
    assert answer.json()["layers"][0]["digest"] == digest
    assert HTTP.get(f"{url}/blobs/{digest}").content == b"a chart or an image"
    assert HTTP.get(f"{url}/tags/list").json()["tags"] == ["1"]
    reference = answer.headers["docker-content-digest"]
    assert HTTP.delete(f"{url}/manifests/{reference}").status_code == 202
    assert HTTP.get(f"{url}/manifests/{reference}", headers=kind).status_code == 404


def test_github_answers_with_the_sandboxs_token(sandbox: Sandbox) -> None:
    values = sandbox.environment()
    base, headers = values["GITHUB_BASE_URL"], {"Authorization": f"Bearer {values['GITHUB_TOKEN']}"}
    assert HTTP.get(f"{base}api/v3/orgs/{values['GITHUB_OWNER']}", headers=headers).json()["login"] == "acme"
    assert HTTP.get(f"{base}api/v3/user", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_sealed_file_opens_in_another_sandbox_once_the_key_is_there(sandbox: Sandbox, tmp_path: Path) -> None:
    plain, sealed = tmp_path / "plain.yaml", tmp_path / "sealed.yaml"
    plain.write_text("db:\n  password: a plain value\n  port: 5432\n")
    sealing = [sys.executable, "-m", "pavedpath_sandbox", "seal", str(plain), str(sealed)]
    done = subprocess.run([*sealing, "--key-description", "sealing test"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "plain value" not in sealed.read_text() + done.stdout + done.stderr
    assert "5432" not in sealed.read_text()
    sops = Layout.find().tool("sops")
    assert sops is not None
    opening = [str(sops), "decrypt", str(sealed)]
    environment = os.environ | sandbox.environment()
    without = subprocess.run(opening, env=environment, capture_output=True, text=True, check=False)
    assert without.returncode != 0  # the stack has not made its key
    aws_client(sandbox, "kms").create_key(Description="sealing test")
    opened = subprocess.run(opening, env=environment, capture_output=True, text=True, check=False)
    assert opened.returncode == 0, opened.stderr
    assert yaml.safe_load(opened.stdout) == {"db": {"password": "a plain value", "port": 5432}}


def test_sealing_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    plain, sealed = tmp_path / "plain.yaml", tmp_path / "sealed.yaml"
    plain.write_text("not: [yaml")
    sealed.write_text("before")
    sealing = [sys.executable, "-m", "pavedpath_sandbox", "seal", str(plain), str(sealed), "--key-description", "k"]
    done = subprocess.run(sealing, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "sops refused" in done.stderr
    assert sealed.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.yaml", "sealed.yaml"]


def test_two_ups_at_once_do_not_collide(sandbox: Sandbox) -> None:
    sandbox.down()
    command = [sys.executable, "-m", "pavedpath_sandbox", "up", "--dir", str(sandbox.layout.root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("nothing to do" in output for output in outputs) == [False, True]


def test_nothing_secret_is_readable_by_others(sandbox: Sandbox) -> None:
    assert sandbox.layout.root.stat().st_mode & 0o077 == 0
    remembered = state.load(sandbox.layout)
    assert remembered is not None
    secrets = [sandbox.layout.github_token.read_text(), sandbox.layout.cluster().token.read_text()]
    shown = " ".join(" ".join(_command(psutil.Process(record.pid))) for record in remembered.processes.values())
    logs = "".join(path.read_text(errors="replace") for path in (sandbox.layout.root / "logs").glob("*.log"))
    assert not [secret for secret in secrets if secret in shown or secret in logs]


BUCKETS = """
import json
import pulumi
import pulumi_aws as aws

key = aws.kms.Key("key", description="buckets")
logs = aws.s3.Bucket("logs", tags={"owner": "platform"}, force_destroy=True)
state = aws.s3.Bucket("state", tags={"owner": "platform", "environment": "dev"})
default = {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn}
aws.s3.BucketServerSideEncryptionConfiguration(
    "encryption",
    bucket=state.bucket,
    rules=[{"apply_server_side_encryption_by_default": default, "bucket_key_enabled": True}],
)
aws.s3.BucketVersioning("versioning", bucket=state.bucket, versioning_configuration={"status": "Enabled"})
aws.s3.BucketPublicAccessBlock(
    "access",
    bucket=state.bucket,
    block_public_acls=True,
    block_public_policy=True,
    ignore_public_acls=True,
    restrict_public_buckets=True,
)
aws.s3.BucketOwnershipControls("ownership", bucket=state.bucket, rule={"object_ownership": "BucketOwnerEnforced"})
deliver = {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject"}
delivery = aws.s3.BucketPolicy(
    "delivery",
    bucket=logs.bucket,
    policy=logs.arn.apply(
        lambda arn: json.dumps({"Version": "2012-10-17", "Statement": [{**deliver, "Resource": arn + "/*"}]})
    ),
)
aws.s3.BucketLogging(
    "logging",
    bucket=state.bucket,
    target_bucket=logs.bucket,
    target_prefix="state/",
    opts=pulumi.ResourceOptions(depends_on=delivery),
)
aws.s3.BucketNotification("events", bucket=state.bucket, eventbridge=True)
deny = {
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": "s3:*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
document = state.arn.apply(
    lambda arn: json.dumps({"Version": "2012-10-17", "Statement": [{**deny, "Resource": [arn, arn + "/*"]}]})
)
aws.s3.BucketPolicy("policy", bucket=state.bucket, policy=document)
aws.s3.BucketLifecycleConfiguration(
    "expiry",
    bucket=state.bucket,
    rules=[
        {
            "id": "old versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": 90},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        }
    ],
)
"""


def test_buckets_by_the_real_provider(sandbox: Sandbox, toolchain: Path, tmp_path: Path) -> None:
    stack = Lifecycle.begin(World(tmp_path, sandbox), "buckets")
    assert len(stack.up(BUCKETS)["create"]) == 12
    assert stack.drift() == {}
    found = aws_client(sandbox, "s3").list_buckets()["Buckets"]
    assert len(found) == 2
    name = next(each["Name"] for each in found if each["Name"].startswith("state"))
    assert aws_client(sandbox, "s3").get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    changed = BUCKETS.replace('"environment": "dev"', '"environment": "prod"')
    assert stack.up(changed) == {"update": {"Bucket state"}}  # the tags go through S3 Control
    tags = aws_client(sandbox, "s3").get_bucket_tagging(Bucket=name)["TagSet"]
    assert {each["Key"]: each["Value"] for each in tags} == {"owner": "platform", "environment": "prod"}
    assert stack.drift() == {}
    stack.destroy()
    assert aws_client(sandbox, "s3").list_buckets()["Buckets"] == []


def test_prod_has_an_account_and_a_cluster_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    before = {part.part: part.pid for part in sandbox.status()}
    command = [sys.executable, "-m", "pavedpath_sandbox", "up", "--dir", str(sandbox.layout.root)]
    done = subprocess.run([*command, "--environment", "prod"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = sandbox.status()
    memory = sum(part.memory or 0 for part in found if part.part.endswith("-prod"))
    sys.stdout.write(f"\nprod: {memory / 1e6:.0f} MB\n")
    assert memory < SECOND_CLUSTER_MEMORY
    assert {part.part: part.pid for part in found if part.part in PARTS} == before
    assert {part.part for part in found if part.state == "healthy"} - PARTS == {
        f"{name}-prod" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "ingress")
    }
    clusters = {
        name: kubernetes_client(sandbox.layout.cluster(name).kubeconfig.read_text(), tmp_path)
        for name in ("dev", "prod")
    }
    for name, client in clusters.items():
        assert client.get("/apis/monitoring.coreos.com/v1/prometheusrules").status_code == 200
        assert client.post("/api/v1/namespaces", json={"metadata": {"name": f"only-{name}"}}).status_code == 201
    for name, other in (("dev", "prod"), ("prod", "dev")):
        assert clusters[name].get(f"/api/v1/namespaces/only-{name}").status_code == 200
        assert clusters[name].get(f"/api/v1/namespaces/only-{other}").status_code == 404
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert clusters["prod"].post(path, json=deployment("in-prod", "app:1")).status_code == 201
    eventually(lambda: clusters["prod"].get(f"{path}/in-prod").json()["status"].get("readyReplicas") == 1)
    assert clusters["dev"].get(f"{path}/in-prod").status_code == 404
    keys = {
        name: aws_client(sandbox, "kms", name).create_key(Description="of both")["KeyMetadata"]["Arn"]
        for name in ("dev", "prod")
    }
    assert ":210987654321:" in keys["prod"]
    assert keys["prod"] not in str(aws_client(sandbox, "kms").list_keys())
    assert {result.outcome for result in sandbox.up()} == {"unchanged"}  # what ran goes on running


def test_what_is_sealed_for_prod_opens_with_prods_key_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    plain, sealed = tmp_path / "plain.yaml", tmp_path / "sealed.yaml"
    plain.write_text("password: a plain value\n")
    command = [sys.executable, "-m", "pavedpath_sandbox", "seal", str(plain), str(sealed)]
    options = ["--key-description", "prod's", "--environment", "prod"]
    subprocess.run([*command, *options], capture_output=True, check=True)
    for environment in ("dev", "prod"):
        aws_client(sandbox, "kms", environment).create_key(Description="prod's")
    sops = Layout.find().tool("sops")
    assert sops is not None
    opened = {
        name: subprocess.run(
            [str(sops), "decrypt", str(sealed)],
            env=os.environ | sandbox.environment(name),
            capture_output=True,
            text=True,
            check=False,
        )
        for name in ("dev", "prod")
    }
    assert opened["dev"].returncode != 0
    assert yaml.safe_load(opened["prod"].stdout) == {"password": "a plain value"}


def test_the_committed_secrets_of_each_environment_open_with_its_stacks_key(sandbox: Sandbox) -> None:
    for environment in ("dev", "prod"):
        description = f"SOPS key of pavedpath {environment}"
        aws_client(sandbox, "kms", environment).create_key(Description=description)
        committed = ROOT / "etc" / "helm_values" / "storefront" / f"{environment}.secrets.yaml"
        sops = Layout.find().tool("sops")
        opened = subprocess.run(
            [str(sops), "decrypt", str(committed)],
            env=os.environ | sandbox.environment(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert opened.returncode == 0, opened.stderr
        assert set(yaml.safe_load(opened.stdout)) == {"secrets"}
