import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacks import environment_arguments, shared_arguments
from stacks.applications import Applications
from stacks.identity import Identity
from stacks.parsing import SettingsError, parse_settings
from stacks.settings import MODELS, ROOT, EnvironmentSettings, SharedSettings, schema_files
from tests.stacks.programs import as_the_engine_gives


def flat(path: Path) -> dict[str, str]:
    """Return a stack file's configuration as the engine hands it to a program, without what is secret."""
    config, secret_keys = as_the_engine_gives(yaml.safe_load(path.read_text())["config"])
    return {key: value for key, value in config.items() if key not in secret_keys}


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_the_committed_settings_parse(stack: str) -> None:
    assert parse_settings(MODELS[stack], stack, flat(ROOT / f"Pulumi.{stack}.yaml")).owner == "platform"


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_the_committed_settings_name_their_schema_and_fit_it(stack: str) -> None:
    import jsonschema_rs

    text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    schema = ROOT / text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    validator = jsonschema_rs.validator_for(json.loads(schema.read_text()))
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    assert not validator.is_valid({"config": {"pavedpath:unheard_of": 1}})


def test_the_committed_schemas_are_those_of_the_models() -> None:
    for path, text in schema_files().items():
        assert path.read_text() == text, f"{path} is stale. Fix: python -m stacks.settings"


def test_every_mistake_is_reported_at_once_with_key_value_reason_and_fix() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml")
    config["pavedpath:owner"] = "Not A Slug"
    config["pavedpath:network"] = json.dumps({"cidr": "10.0.0.0/8", "zones": ["nowhere"], "natt": "one"})
    config["pavedpath:imagess"] = json.dumps({})
    config["pavedpath:applications"] = json.dumps({"a": {"repository": "storefront", "chart": 1, "timeout_seconds": 0}})
    del config["pavedpath:organization"]
    with pytest.raises(SettingsError) as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    message = str(caught.value)
    assert message.startswith("Pulumi.dev.yaml: 8 mistakes in the settings\n")
    for part in (
        'dev: pavedpath:owner = "Not A Slug"',
        "dev: pavedpath:organization: it is required and not given. Fix: add it",
        'dev: pavedpath:network.natt = "one": there is no such setting.',
        "Fix: remove it, or write one of: addresses, cidr, flow_log_days, interface_endpoints, ipv6, nat,",
        "dev: pavedpath:imagess",
        'dev: pavedpath:network.cidr = "10.0.0.0/8": a VPC of this kind is /16 to /22',
        'dev: pavedpath:network.zones = ["nowhere"]: it is not the name of an availability zone',
        "dev: pavedpath:applications.a.chart = 1",
        "dev: pavedpath:applications.a.timeout_seconds = 0",
    ):
        assert part in message, message


def test_an_application_of_a_repository_that_does_not_deploy_here() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml")
    config["pavedpath:applications"] = json.dumps({"a": {"repository": "elsewhere", "chart": "charts/web-service"}})
    with pytest.raises(SettingsError, match="1 mistake") as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    assert 'pavedpath:applications.a.repository = "elsewhere": it does not deploy here' in str(caught.value)


def test_a_misspelt_name_is_one_mistake_with_the_name_that_was_meant() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml")
    config["pavedpath:aplications"] = config.pop("pavedpath:applications")
    with pytest.raises(SettingsError, match="1 mistake") as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    assert "did you mean applications?" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("images", {"repositories": ["Bad Name"]}, 'images.repositories.0 = "Bad Name": ECR refuses this name'),
        ("applications", {"Bad_App": {"repository": "storefront", "chart": "c"}}, "Helm refuses this name"),
        ("deployments", {"a/b": {}}, "GitHub refuses this name"),
        ("organization", "-acme", "it is no GitHub organisation's name"),
    ],
)
def test_a_name_that_a_service_refuses_is_a_mistake_in_the_settings(key: str, value: object, part: str) -> None:
    config = flat(ROOT / "Pulumi.dev.yaml")
    config[f"pavedpath:{key}"] = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(SettingsError) as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    assert part in str(caught.value)
    assert "after validation" not in str(caught.value)


def test_settings_that_contradict_a_providers_are_mistakes() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml") | {"github:owner": "other", "aws:region": "eu-west-1"}
    with pytest.raises(SettingsError, match="2 mistakes") as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    assert "github:owner = other" in str(caught.value)
    assert "do not lie in aws:region = eu-west-1" in str(caught.value)


@pytest.mark.parametrize("key", ["slackToken", "owner"])
def test_a_secret_is_not_shown_in_a_mistake(key: str) -> None:
    config = flat(ROOT / "Pulumi.dev.yaml") | {f"pavedpath:{key}": "xoxb-SECRET"}
    with pytest.raises(SettingsError) as caught:
        parse_settings(EnvironmentSettings, "dev", config, [f"pavedpath:{key}"])
    assert "[secret]" in str(caught.value)
    assert "xoxb" not in str(caught.value)


def test_a_secret_in_plain_text_is_a_mistake_that_does_not_show_it() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml") | {"pavedpath:runner_webhook_secret": "not-encrypted-at-all"}
    with pytest.raises(SettingsError, match="1 mistake") as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    assert "runner_webhook_secret: it is a secret in plain text. Fix: pulumi config set --secret" in str(caught.value)
    assert "not-encrypted" not in str(caught.value)
    key = "pavedpath:runner_webhook_secret"
    assert parse_settings(EnvironmentSettings, "dev", config, [key]).runner_webhook_secret is not None


def test_runners_need_the_secret_of_their_webhook() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml")
    with pytest.raises(SettingsError, match="1 mistake") as caught:
        parse_settings(
            EnvironmentSettings,
            "dev",
            config,
            checks=lambda parsed: environment_arguments.checks(
                parsed, "dev", Identity(account="123456789012", region="us-east-1"), Applications("dev")
            ),
        )
    assert "openssl rand -hex 32 | pulumi config set --secret pavedpath:runner_webhook_secret" in str(caught.value)


def test_a_name_may_look_like_a_number() -> None:
    config = flat(ROOT / "Pulumi.shared.yaml") | {"pavedpath:organization": "1234", "github:owner": "1234"}
    assert parse_settings(SharedSettings, "shared", config).organization == "1234"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*EnvironmentSettings.model_fields, *SharedSettings.model_fields]) | st.text()


@given(st.dictionaries(keys.map("pavedpath:".__add__), json_values.map(json.dumps) | st.text()))
def test_rubbish_is_a_settings_error_and_never_a_traceback(config: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^Pulumi\.shared\.yaml: \d+ mistakes?"):
        parse_settings(SharedSettings, "shared", config, checks=shared_arguments.checks)
    with pytest.raises(SettingsError, match=r"^Pulumi\.dev\.yaml: \d+ mistakes?"):
        parse_settings(
            EnvironmentSettings,
            "dev",
            config,
            checks=lambda parsed: environment_arguments.checks(parsed, "dev", Identity(), Applications("dev")),
        )


def test_the_names_beside_an_unknown_one_are_told_where_the_setting_may_be_left_out() -> None:
    config = flat(ROOT / "Pulumi.dev.yaml")
    runners = json.loads(config["pavedpath:runners"])
    config["pavedpath:runners"] = json.dumps({**runners, "allow_fork": True})
    with pytest.raises(SettingsError) as caught:
        parse_settings(EnvironmentSettings, "dev", config)
    assert "there is no such setting. Fix: remove it, or write one of: allow_forks, app_id" in str(caught.value)


def test_a_layer_is_looked_for_at_the_projects_root() -> None:
    """The program's own folder, where the engine would look, is another one."""
    config = flat(ROOT / "Pulumi.dev.yaml")
    key = "pavedpath:runner_webhook_secret"
    for layer in ("build/layer.zip", "arn:aws:lambda:us-east-1:123456789012:layer:cryptography:3"):
        runners = {**json.loads(config["pavedpath:runners"]), "layer": layer}
        given = config | {"pavedpath:runners": json.dumps(runners), key: "s" * 40}
        settings = parse_settings(EnvironmentSettings, "dev", given, [key])
        place = environment_arguments.FleetPlace("vpc-1", ["subnet-1"], {"storefront": 1})
        found = environment_arguments.fleet_args(settings, "dev", place).get("layer")
        assert found == (layer if layer.startswith("arn:") else str(ROOT / layer))
