"""Declared objects against live ones."""

import base64
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.drift.objects import Difference, differences

DECLARED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "labels": {"app": "api"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "api"}},
        "template": {
            "metadata": {"labels": {"app": "api"}, "creationTimestamp": None},
            "spec": {
                "hostNetwork": False,
                "containers": [
                    {
                        "name": "api",
                        "image": "r/api:1",
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
                        "ports": [{"containerPort": 80, "name": "http"}],
                        "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        },
    },
}


def live() -> dict[str, Any]:
    """The object as the server keeps it: with defaults, and in its own words."""
    found = copy.deepcopy(DECLARED)
    found["metadata"] |= {"uid": "1", "generation": 4, "namespace": "shop", "resourceVersion": "9"}
    found["status"] = {"replicas": 2}
    found["spec"] |= {"strategy": {"type": "RollingUpdate"}, "revisionHistoryLimit": 10}
    spec = found["spec"]["template"]["spec"]
    del spec["hostNetwork"], found["spec"]["template"]["metadata"]["creationTimestamp"]
    spec["restartPolicy"] = "Always"
    container = spec["containers"][0]
    container |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    container["ports"][0]["protocol"] = "TCP"
    container["env"][1].pop("value")
    container["resources"] = {"requests": {"cpu": "500m", "memory": "1Gi"}}
    return found


def container(found: dict[str, Any]) -> dict[str, Any]:
    return found["spec"]["template"]["spec"]["containers"][0]


CONTAINER = "spec.template.spec.containers[api]"


def test_what_the_server_fills_in_is_no_difference() -> None:
    assert differences(DECLARED, live()) == []


def test_what_was_edited_is_seen() -> None:
    found = live()
    container(found)["image"] = "r/api:2"
    container(found)["env"].append({"name": "DEBUG", "value": "1"})
    container(found)["env"].pop(0)
    container(found)["resources"]["requests"]["cpu"] = "600m"
    found["spec"]["replicas"] = 0
    assert differences(DECLARED, found) == [
        Difference("spec.replicas", 2, 0),
        Difference(f"{CONTAINER}.env[A]", {"name": "A", "value": "1"}, None),
        Difference(f"{CONTAINER}.env[DEBUG]", None, {"name": "DEBUG", "value": "1"}),
        Difference(f"{CONTAINER}.image", "r/api:1", "r/api:2"),
        Difference(f"{CONTAINER}.resources.requests.cpu", "0.5", "600m"),
    ]


def test_a_field_that_only_kubectl_owns_is_seen_once() -> None:
    found = live()
    found["spec"]["paused"] = True
    container(found)["env"].append({"name": "DEBUG", "value": "1"})
    found["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now", "mine": "1"}
    env: dict[str, Any] = {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}
    containers: dict[str, Any] = {"f:containers": {'k:{"name":"api"}': {"f:env": env, "f:image": {}}}}
    owned: dict[str, Any] = {
        "f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}, "f:mine": {}}},
        "f:spec": {"f:paused": {}, "f:replicas": {}, "f:template": {"f:spec": containers}},
    }
    found["metadata"]["managedFields"] = [
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": owned},
        {"manager": "kubectl-edit", "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
        {"manager": "kube-controller-manager", "fieldsV1": {"f:spec": {"f:strategy": {}}}},
    ]
    assert differences(DECLARED, found) == [
        Difference("metadata.annotations.mine", None, "1", "kubectl-edit"),
        Difference("spec.paused", None, True, "kubectl-edit"),
        Difference(f"{CONTAINER}.env[DEBUG]", None, {"name": "DEBUG", "value": "1"}),
    ]


def test_values_of_secrets_are_hidden() -> None:
    declared = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"token": "hunter2"}}
    same = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"token": base64.b64encode(b"hunter2").decode()}}
    assert differences(declared, same) == []
    other = {**same, "data": {"token": base64.b64encode(b"other-secret").decode(), "more": "bW9yZQ=="}}
    found = differences(declared, other)
    assert found == [Difference("data.more", None, "(secret)"), Difference("data.token", "(secret)", "(secret)")]


JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef", min_size=1, max_size=3), inner),
    max_leaves=10,
)
OBJECT = st.dictionaries(st.sampled_from(["spec", "data", "rules"]), JSON, max_size=3)


@given(OBJECT)
def test_an_object_does_not_differ_from_itself(tree: dict[str, Any]) -> None:
    assert differences({"kind": "X", **tree}, {"kind": "X", "status": {}, **copy.deepcopy(tree)}) == []


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 9), min_size=1), st.data())
def test_any_changed_field_is_named(spec: dict[str, int], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(spec)))
    found = differences({"spec": spec}, {"spec": {**spec, key: 10, "defaulted": 1}})
    assert found == [Difference(f"spec.{key}", spec[key], 10)]


@pytest.mark.parametrize(("one", "other", "same"), [("1", "1000m", True), (1, "1", True), ("1Gi", "1G", False)])
def test_amounts_are_compared_as_amounts(one: Any, other: Any, same: bool) -> None:
    pair = [{"spec": {"limits": {"cpu": each}}} for each in (one, other)]
    assert (differences(*pair) == []) is same
