"""dev and prod are one program: what differs stands in their files, and neither reaches what is the other's."""

import json
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from stacks import applications, program
from stacks.identity import WrongEnvironmentError
from stacks.settings import ENVIRONMENTS, EnvironmentSettings
from tests.stacks.programs import config_of, deploy, refused
from tests.stacks.test_graph import TextExtension, render

SAMPLE = "storefront"


def flatten(value: Any, at: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]  # YAML is untyped
            found |= flatten(item, f"{at}.{key}".lstrip("."))
        return found
    return {at: json.dumps(value)}


def test_what_differs_between_dev_and_prod(snapshot: SnapshotAssertion) -> None:
    settings = {
        stack: flatten(
            EnvironmentSettings.model_validate(
                {
                    key.removeprefix("pavedpath:"): value
                    for key, value in config_of(stack).items()
                    if "pavedpath:" in key and key != "pavedpath:runner_webhook_secret"
                }
            ).model_dump(mode="json")
            | {key: value for key, value in config_of(stack).items() if "pavedpath:" not in key}
        )
        for stack in ("dev", "prod")
    }
    keys = sorted({key for each in settings.values() for key in each})
    width = max(map(len, keys))
    lines = [
        f"{key:{width}}  {settings['dev'].get(key, '-'):32}  {settings['prod'].get(key, '-')}"
        for key in keys
        if settings["dev"].get(key) != settings["prod"].get(key)
    ]
    print("\n".join(lines))  # noqa: T201  # for who runs it with -s
    assert "\n".join([f"{'setting':{width}}  {'dev':32}  prod", *lines, ""]) == snapshot(extension_class=TextExtension)


def test_the_program_knows_no_environment_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With dev's settings and values prod's graph is dev's, but for the name."""
    directory = tmp_path / "values" / SAMPLE
    directory.mkdir(parents=True)
    committed = Path(__file__).parents[2] / "etc" / "helm_values" / SAMPLE
    for name in ("dev", "prod"):
        for suffix in (".yaml", ".secrets.yaml"):
            (directory / f"{name}{suffix}").write_text((committed / f"dev{suffix}").read_text())
    monkeypatch.setattr(applications, "VALUES", tmp_path / "values")
    monkeypatch.setattr(program, "read_identities", lambda _root: {})  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]  # both files would state the same account here
    graphs = {stack: render(deploy(stack, monkeypatch, config=config_of("dev"))) for stack in ("dev", "prod")}
    # The cluster's name is a setting, which is dev's in both.
    renamed = graphs["prod"].replace("prod", "dev")
    assert renamed == graphs["dev"]


def test_another_ones_account_stops_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    account = config_of("dev")["pavedpath:account"]
    message = refused(lambda: deploy("prod", monkeypatch, account=account), WrongEnvironmentError)
    assert f"run with account '{account}', which is dev's" in message


def test_another_ones_cluster_stops_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(lambda: deploy("prod", monkeypatch, cluster="pavedpath-dev"), WrongEnvironmentError)
    assert "run with cluster 'pavedpath-dev', which is dev's" in message


def test_another_ones_region_stops_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(lambda: deploy("dev", monkeypatch, config={**config_of("dev"), "aws:region": "eu-west-1"}))
    assert "do not lie in aws:region = eu-west-1" in message


def test_another_ones_addresses_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    network = {**config_of("dev")["pavedpath:network"], "cidr": config_of("prod")["pavedpath:network"]["cidr"]}
    assert "pavedpath:network.cidr" in refused(lambda: deploy("dev", monkeypatch, network=network))


def test_another_ones_secrets_stop_a_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "etc" / "helm_values" / SAMPLE
    directory = tmp_path / "values" / SAMPLE
    directory.mkdir(parents=True)
    (directory / "dev.yaml").write_text((committed / "dev.yaml").read_text())
    (directory / "dev.secrets.yaml").write_text((committed / "prod.secrets.yaml").read_text())
    monkeypatch.setattr(applications, "VALUES", tmp_path / "values")
    message = refused(lambda: deploy("dev", monkeypatch))
    assert str(config_of("prod")["pavedpath:account"]) in message


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_workflows_of_a_service_and_its_environment_agree_on_the_approval(environment: str) -> None:
    shared = config_of("shared")["pavedpath:repositories"]
    services = {name: each["service"]["targets"][environment] for name, each in shared.items() if "service" in each}
    assert services, "no repository of the sample is delivered by its own workflows"
    deployments = config_of(environment)["pavedpath:deployments"]
    for name, target in services.items():
        assert deployments[name].get("approval", "none") == target.get("approval", "none"), name
        assert list(deployments[name].get("tags", [])) == list(target.get("tags", [])), name
