import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy import manifests

from tests.unit.delivery.deploy.world import manifest

DIGEST = "sha256:" + "b" * 64
MIXED = f"""\
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          initContainers: [{{name: a, image: r.example/init:1}}]
          containers: [{{name: b, image: "r.example/job@{DIGEST}"}}]
---
# nothing here
---
apiVersion: v1
kind: Pod
metadata: {{name: hook, annotations: {{since: 2026-01-01, at: 12:30:00}}}}
spec: {{containers: [{{name: a, image: r.example/init:1}}]}}
"""


def test_images_stand_wherever_containers_do_each_once() -> None:
    assert manifests.images(MIXED) == ["r.example/init:1", f"r.example/job@{DIGEST}"]
    assert manifests.without_digest(MIXED) == ["r.example/init:1"]


def test_dates_and_clock_times_are_texts_as_for_kubernetes() -> None:
    annotations = manifests.documents(MIXED)[1]["metadata"]["annotations"]
    assert annotations == {"since": "2026-01-01", "at": "12:30:00"}
    assert manifests.documents("a: 0x1F\nb: 010\nc: -7\nd: 0\n") == [{"a": 31, "b": 8, "c": -7, "d": 0}]


def test_a_workload_owns_the_pods_of_its_selector() -> None:
    (workload,) = manifests.workloads(manifest())
    assert (str(workload), workload.images) == ("deployment shop", ("r.example/shop/api:v1",))
    assert workload.owns({"metadata": {"labels": {"app": "shop", "x": "y"}}})
    assert not workload.owns({"metadata": {"labels": {"app": "other"}}})
    assert manifests.services(manifest()) == {"shop": {"app": "shop"}}


def test_what_differs_is_shown_by_line() -> None:
    (change,) = manifests.changes(manifest(), manifest(replicas=3))
    assert (change.action, change.name) == ("update", "Deployment shop")
    assert [line for line in change.lines if line[0] in "+-"] == ["-  replicas: 2", "+  replicas: 3"]
    assert [each.action for each in manifests.changes("", manifest())] == ["create", "create"]
    assert [each.action for each in manifests.changes(manifest(), "")] == ["delete", "delete"]


@given(st.text("abcdefghijklmnop", min_size=6, max_size=20), st.text("qrstuvwxyz", min_size=6, max_size=20))
def test_a_changed_secret_is_told_and_neither_value_shown(old: str, new: str) -> None:
    (change,) = manifests.changes(manifest(secret=old), manifest(secret=new))
    assert change == manifests.Change("update", "Secret shop", ("  (values of the secret differ)",))
    assert manifests.changes(manifest(secret=old), manifest(secret=old)) == []
    assert manifests.secrets_of(manifest(secret=old)) == [old]


def test_order_and_spelling_do_not_matter() -> None:
    one = manifest(secret="abcdef")
    documents = [json.dumps(each, indent=2, sort_keys=True) for each in manifests.documents(one)]
    assert manifests.changes(one, "# comment\n" + "\n---\n".join(reversed(documents))) == []


def test_a_secret_that_is_no_text_is_hidden_too() -> None:
    binary = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": base64.b64encode(b"\xff").decode()}}
    assert manifests.secrets_of(json.dumps(binary)) == []
    assert manifests.changes(json.dumps(binary), json.dumps({**binary, "data": {"k": "AAAA"}}))[0].lines == (
        "  (values of the secret differ)",
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_a_broken_image_changes_nothing_but_the_images_of_deployments(extra: Any) -> None:
    before = manifest(secret="abcdef") + "\n---\n" + json.dumps({"kind": "ConfigMap", "data": {"x": extra}})
    after, changed = manifests.with_image(before, "gone")
    assert changed == ["shop"]
    assert manifests.images(after) == ["r.example/shop/api:gone"]
    assert {each.name for each in manifests.changes(before, after)} == {"Deployment shop"}
    assert manifests.images(before) == ["r.example/shop/api:v1"]


def test_a_tag_takes_the_place_of_tag_and_digest() -> None:
    for image in ("r.example:5000/a/b:v1", f"r.example:5000/a/b:v1@{DIGEST}", f"r.example:5000/a/b@{DIGEST}"):
        assert manifests.retagged(image, "t") == "r.example:5000/a/b:t"
    assert manifests.retagged("nginx:1", "t") == manifests.retagged("nginx", "t") == "nginx:t"
