"""What `rotate sops` and `rotate plan` decide, without sops: names, differences, ages, values."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.rotate import policy, sealed, sidecar, values
from pavedpath_delivery.rotate.policy import Policy, Secret
from pavedpath_delivery.rotate.reseal import differences, times
from pavedpath_delivery.rotate.run import Plan, files, in_file
from pavedpath_delivery.rotate.sealed import KeyPath, Sealed
from typer.testing import CliRunner

ROOT = Path(__file__).parents[4]
DEV = ROOT / "etc/helm_values/storefront/dev.secrets.yaml"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
URL: KeyPath = ("secrets", "DATABASE_URL")
KEY: KeyPath = ("secrets", "SESSION_KEY")


def a_file(leaves: Mapping[KeyPath, str], **metadata: object) -> Sealed:
    base = {"kms": [{"arn": "arn:1", "enc": "x", "created_at": "y"}], "mac": "m", "lastmodified": "t", **metadata}
    return Sealed(Path("dev.secrets.yaml"), b"", leaves, base, NOW - timedelta(days=50))


BEFORE = a_file({URL: "ENC[a]", KEY: "ENC[b]"})
OPENED: dict[KeyPath, object] = {URL: "postgres://old", KEY: "old", ("replicas",): 2}


def test_a_file_is_read_without_opening_it() -> None:
    found = sealed.read(DEV)
    assert found.names == {"secrets.DATABASE_URL": URL, "secrets.SESSION_KEY": KEY}
    assert found.changed.tzinfo is not None
    assert found.find(["SESSION_KEY", "secrets.DATABASE_URL", "SESSION_KEY"]) == [KEY, URL]


def test_a_secret_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(DeliveryError) as error:
        sealed.read(DEV).find(["SESION_KEY", "other"])
    assert "SESION_KEY is not in it (nearest: SESSION_KEY); other is not in it" in str(error.value)
    both = a_file({("a", "X"): "ENC[AES256_GCM,data:,type:str]", ("b", "X"): "ENC[AES256_GCM,data:,type:int]"})
    with pytest.raises(DeliveryError, match=r"X could be a\.X or b\.X; b\.X is no text"):
        both.find(["X", "b.X"])


@pytest.mark.parametrize(
    "content",
    [b"a: 1", b"- 1", b"{", b"\xff", b"sops: {lastmodified: x}", b"sops: {}", b"sops: {lastmodified: '2026-01-01'}"],
)
def test_what_sops_has_not_sealed_is_refused(content: bytes) -> None:
    with pytest.raises(DeliveryError) as error:
        sealed.parse(Path("x.yaml"), content)
    assert error.value.code is Exit.USAGE


def test_only_the_named_secret_may_differ() -> None:
    after = a_file({URL: "ENC[a]", KEY: "ENC[new]"}, mac="other", lastmodified="later", version="9")
    opened: dict[KeyPath, object] = {**OPENED, KEY: "new"}
    assert differences(BEFORE, after, OPENED, opened, {KEY: "new"}, data_key=False) == []


@pytest.mark.parametrize(
    ("after", "opened", "data_key", "problem"),
    [
        (BEFORE, OPENED, False, "SESSION_KEY has not got its new value"),
        (BEFORE, {**OPENED, KEY: "new", URL: "x"}, False, "DATABASE_URL would change, too"),
        (BEFORE, {**OPENED, KEY: "new", ("replicas",): 3}, False, "replicas would change, too"),
        (BEFORE, {**OPENED, KEY: "new", ("more",): 1}, False, "more would come with it"),
        (BEFORE, {URL: OPENED[URL], KEY: "new"}, False, "replicas would go with it"),
        (a_file({URL: "ENC[z]", KEY: "ENC[n]"}), {**OPENED, KEY: "new"}, False, "sealed other secrets anew"),
        (a_file({URL: "ENC[a]", KEY: "ENC[n]"}), {**OPENED, KEY: "new"}, True, "kept the old data key"),
        (a_file({URL: "ENC[a]", KEY: "ENC[n]"}, kms=[{"arn": "arn:2"}]), {**OPENED, KEY: "new"}, False, "who opens"),
        (
            a_file({URL: "ENC[a]", KEY: "ENC[n]"}, age=[{"recipient": "age1"}]),
            {**OPENED, KEY: "new"},
            False,
            "who opens the file",
        ),
    ],
)
def test_anything_else_that_differs_is_a_reason_to_stop(
    after: Sealed, opened: dict[KeyPath, object], data_key: bool, problem: str
) -> None:
    said = "; ".join(differences(BEFORE, after, OPENED, opened, {KEY: "new"}, data_key=data_key))
    assert problem in said
    assert "postgres" not in said


def test_the_same_value_again_is_no_rotation() -> None:
    said = differences(BEFORE, BEFORE, OPENED, OPENED, {KEY: "old"}, data_key=False)
    assert said == ["secrets.SESSION_KEY had this value already"]


def test_rotating_one_secret_does_not_make_the_others_young() -> None:
    noted = {"secrets.SESSION_KEY": NOW - timedelta(days=9), "secrets.GONE": NOW}
    assert times(BEFORE, noted, {KEY: "new"}, NOW) == {
        "secrets.DATABASE_URL": NOW - timedelta(days=50),
        "secrets.SESSION_KEY": NOW,
    }
    assert times(BEFORE, noted, {}, NOW)["secrets.SESSION_KEY"] == NOW - timedelta(days=9)


def test_a_sidecar_is_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "dev.secrets.yaml"
    place = sidecar.path_of(file)
    assert place.name == "dev.rotated.yaml"
    assert sidecar.read(file).rotated == {}
    place.write_text(sidecar.text(file, {"b": NOW, "a": NOW - timedelta(hours=1)}))
    assert sidecar.read(file).rotated == {"a": NOW - timedelta(hours=1), "b": NOW}
    for broken in ("", "version: 2\nrotated: {}", "version: 1\nrotated: {a: 2026-01-01T00:00:00}", "{", "\x00"):
        place.write_text(broken)
        with pytest.raises(DeliveryError, match=r"dev\.rotated\.yaml cannot be used"):
            sidecar.read(file)


def test_ages_against_a_policy() -> None:
    limits = Policy.model_validate(
        {
            "version": 1,
            "max_age_days": 90,
            "overrides": [
                {"secrets": "*/prod.secrets.yaml#*", "max_age_days": 30},
                {"secrets": "*#secrets.SESSION_KEY", "max_age_days": 7},
            ],
        }
    )
    ages = {"a/dev.secrets.yaml#x": 89, "a/prod.secrets.yaml#secrets.SESSION_KEY": 30, "aws:b": 95}
    secrets = [Secret(name, NOW - timedelta(days=days)) for name, days in ages.items()]
    found = Plan(policy.plan([*secrets, Secret("aws:never", None)], limits, NOW), check=True)
    assert [(each.secret.id, each.due) for each in found.secrets] == [
        ("aws:never", True),
        ("aws:b", True),
        ("a/prod.secrets.yaml#secrets.SESSION_KEY", True),
        ("a/dev.secrets.yaml#x", False),
    ]
    assert found.code is Exit.FAILED
    assert found.outputs() == {"due": "3"}
    assert Plan(found.secrets).code is Exit.OK
    assert "| due | aws:b | 95 of 90 days |" in found.summary()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("max_age_days: 5", "version: it is missing"),
        ("version: 2", "version: it must be 1"),
        ("version: 1\nmax_age_days: 0", "max_age_days: it must be 1 or more"),
        ("version: 1\nmax_age_days: '9'", "max_age_days: it must be a whole number"),
        ("version: 1\noverrides: [{secrets: x}]", r"overrides\.0\.max_age_days: it is missing"),
        ("{", "no YAML"),
    ],
)
def test_a_policy_that_is_none(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(DeliveryError, match=reason):
        policy.load(tmp_path / "policy.yaml")


def test_what_is_not_noted_is_at_least_as_old_as_the_file() -> None:
    found = list(in_file(DEV))
    assert {each.id for each in found} == {f"{DEV}#secrets.DATABASE_URL", f"{DEV}#secrets.SESSION_KEY"}
    assert not any(each.exact for each in found)


def test_places_without_files_are_named(tmp_path: Path) -> None:
    assert DEV in files([ROOT / "etc/helm_values", DEV])
    with pytest.raises(DeliveryError, match=r"holds no .*; .*none is not there"):
        files([tmp_path, tmp_path / "none"])


def test_the_plan_of_the_samples() -> None:
    done = CliRunner().invoke(app, ["rotate", "plan", str(DEV), "--max-age", "3650", "--check"])
    assert done.exit_code == Exit.OK, done.output
    assert "at least" in done.stdout
    assert "0 of 2 secrets are due" in done.stdout


@given(st.sampled_from(["random", "hex", "letters"]), st.integers(22, 200))
def test_made_values_are_as_long_as_asked_and_of_plain_characters(kind: str, size: int) -> None:
    made = values.generate(f"{kind}:{size}")
    assert re.fullmatch({"random": r"[\w-]+", "hex": "[0-9a-f]+", "letters": "[0-9a-zA-Z]+"}[kind], made)
    assert len(made) == {"random": -(-size * 4 // 3), "hex": 2 * size, "letters": size}[kind]
    assert made != values.generate(f"{kind}:{size}")


def test_each_letter_is_as_likely_as_another() -> None:
    every_byte = [bytes(range(256)), bytes(range(256))]
    made = values.generate("letters:496", lambda _: every_byte.pop())
    assert {made.count(letter) for letter in set(made)} == {8}
    assert len(set(made)) == 62


@pytest.mark.parametrize(
    "wrong", ["", "random", "random:15", "hex:15", "letters:21", "words:9", "random:9999", "random:-1"]
)
def test_a_value_that_could_be_guessed_is_refused(wrong: str) -> None:
    with pytest.raises(DeliveryError, match="Fix: "):
        values.generate(wrong)


def test_a_value_from_the_environment_must_be_there() -> None:
    assert values.from_environment("X", {"X": "made elsewhere"}) == "made elsewhere"
    with pytest.raises(DeliveryError, match="not set"):
        values.from_environment("X", {"X": ""})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to change"),
        (["--key", "a", "--generate", "hex:16", "--from-env", "X"], "exclude each other"),
        (["--key", "a", "--key", "b", "--from-env", "X"], "one --key"),
        (["--key", "SESSION_KEY", "--from-env", "NOT_THERE"], "NOT_THERE is not set"),
        (["--key", "SESSION_KEY", "--generate", "hex:1"], "out of bounds"),
    ],
)
def test_what_cannot_be_rotated_is_refused_before_anything(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["rotate", "sops", str(DEV), *options])
    assert done.exit_code == Exit.USAGE
    assert said in done.output


def test_a_dry_run_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(app, ["rotate", "sops", str(DEV), "--key", "SESSION_KEY", "--data-key", "--dry-run"])
    assert done.exit_code == Exit.OK
    assert f"would be new: {DEV}#secrets.SESSION_KEY" in done.stdout
