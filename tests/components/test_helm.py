"""HelmApplication: what it passes on to Helm, and what it refuses first."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
from pavedpath import HelmApplication, InvalidArgumentsError
from pavedpath.charts import Chart

from tests.mocks import SECRET, Node, run

ROOT = Path(__file__).resolve().parents[2]
CHART = Chart.read(ROOT / "charts/web-service")
IMAGE = {"repository": "registry.example/shop", "digest": "sha256:" + "a" * 64}


def release(**arguments: Any) -> Node:
    given: Any = {"release": "shop", "chart": "charts/web-service", "namespace": "shop", **arguments}
    return run(lambda: HelmApplication("shop", given)).one("kubernetes:helm.sh/v3:Release")


def problems(**arguments: Any) -> set[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        release(**arguments)
    return {problem.argument for problem in caught.value.problems}


def test_an_upgrade_is_atomic_has_its_time_and_keeps_ten_revisions() -> None:
    inputs = release(timeout_seconds=120).inputs
    assert (inputs["atomic"], inputs["timeout"], inputs["maxHistory"]) == (True, 120, 10)
    # What release 0.1.0 registered: another input would update every release of it.
    assert set(inputs) - {"compat"} == {"atomic", "chart", "maxHistory", "name", "namespace", "timeout", "values"}


def test_a_verified_chart_is_named_by_its_digest_so_that_a_changed_template_upgrades() -> None:
    inputs = release(**CHART.arguments(), values={"image": IMAGE}).inputs
    assert inputs["chart"] == str(CHART.path)
    assert inputs["description"] == f"chart {CHART.digest}"
    assert inputs["values"] == {"image": IMAGE}


def test_a_chart_of_a_repository_or_a_registry_has_its_version() -> None:
    inputs = release(chart="shop", repository="https://charts.example.com", version="1.2.3").inputs
    assert (inputs["chart"], inputs["version"]) == ("shop", "1.2.3")
    assert inputs["repositoryOpts"] == {"repo": "https://charts.example.com"}
    assert release(chart="oci://registry.example/shop", version="1.2.3").inputs["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"repository": "https://charts.example.com"}, {"version"}),
        ({"repository": "http://charts.example.com", "version": "1.2.3"}, {"repository"}),
        ({"chart": "oci://registry.example/shop"}, {"version"}),
        ({"version": "1.2.3"}, {"version"}),
        ({"digest": "sha256:abc"}, {"digest"}),
        ({"chart": "oci://r.example/shop", "version": "1.2.3", "digest": CHART.digest}, {"digest"}),
        ({"release": "Shop", "timeout_seconds": 0}, {"release", "timeout_seconds"}),
    ],
)
def test_what_would_not_be_pinned_is_refused(arguments: dict[str, Any], named: set[str]) -> None:
    assert problems(**arguments) == named


def test_values_are_held_to_the_charts_schema_with_all_else_that_is_wrong() -> None:
    found = problems(**CHART.arguments(), release="Shop", values={"replicas": "2", "image": IMAGE, "prot": 80})
    assert found == {"release", "values", "values.replicas"}


def test_an_image_without_a_digest_is_refused_where_one_is_required() -> None:
    tagged = {"image": {"repository": "registry.example/shop", "tag": "v1"}}
    assert problems(**CHART.arguments(), require_image_digest=True, values=tagged) == {"values.image.digest"}
    release(**CHART.arguments(), require_image_digest=True, values={"image": IMAGE})
    release(**CHART.arguments(), values=tagged)


def test_secret_values_stay_secret() -> None:
    def program() -> None:
        values = {"image": IMAGE, "env": {"A": "1"}}
        secret = {"secrets": {"TOKEN": pulumi.Output.secret("hunter2")}}
        HelmApplication(
            "shop",
            {**CHART.arguments(), "release": "shop", "namespace": "shop", "values": values, "secret_values": secret},
        )

    inputs = run(program).one("kubernetes:helm.sh/v3:Release").inputs
    assert inputs["values"] == SECRET  # the mocks mark the whole tree, the engine the leaf
