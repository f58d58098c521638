from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy.helm import (
    Helm,
    Inputs,
    conflicts,
    major_version,
    rollback_arguments,
    uninstall_arguments,
    upgrade_arguments,
)
from pavedpath_delivery.kit.errors import DeliveryError, Exit


@pytest.mark.parametrize(("text", "major"), [("v3.18.6+gb76a950\n", 3), ("v4.1.0", 4), ('{"Version":"v4.1.0"}', 4)])
def test_the_version_is_read(text: str, major: int) -> None:
    assert major_version(text) == major


@pytest.mark.parametrize("text", ["v2.17.0", 'Client: &version.Version{SemVer:"v2.9.1"}', "v5.0.0", "", "unknown"])
def test_another_version_is_refused(text: str) -> None:
    with pytest.raises(DeliveryError, match="Helm 3 or Helm 4") as refused:
        major_version(text)
    assert refused.value.code is Exit.USAGE


def test_both_versions_upgrade_atomically_by_their_own_name() -> None:
    inputs = Inputs("chart")
    for major, flag, other in ((3, "--atomic", "--rollback-on-failure"), (4, "--rollback-on-failure", "--atomic")):
        arguments = upgrade_arguments(major, "shop", inputs, timeout_s=300, history=10)
        assert flag in arguments
        assert other not in arguments
        assert arguments[arguments.index("--timeout") + 1] == "300s"
        assert arguments[arguments.index("--history-max") + 1] == "10"
        assert "--create-namespace" not in arguments
        assert "--reset-values" in arguments
    assert "--create-namespace" in upgrade_arguments(4, "shop", inputs, timeout_s=1, history=1, create_namespace=True)


def test_a_rollback_and_a_removal_wait_in_both_versions() -> None:
    assert "--wait" in rollback_arguments(3, "shop", 7, timeout_s=1.5, history=10)
    assert "--wait=watcher" in rollback_arguments(4, "shop", 7, timeout_s=1.5, history=10)
    assert rollback_arguments(4, "shop", 7, timeout_s=1.5, history=10)[:3] == ["rollback", "shop", "7"]
    assert "--wait" in uninstall_arguments(3, "shop", timeout_s=1)


def test_only_helm_4_is_told_to_take_fields_back() -> None:
    inputs, flags = Inputs("chart"), ["--server-side=true", "--force-conflicts"]
    for major, expected in ((3, []), (4, flags)):
        upgrade = upgrade_arguments(major, "shop", inputs, timeout_s=1, history=1, take_back=True)
        rollback = rollback_arguments(major, "shop", 7, timeout_s=1, history=1, take_back=True)
        assert [each for each in upgrade if each in flags] == expected
        assert [each for each in rollback if each in flags] == expected
    assert "--force-conflicts" not in upgrade_arguments(4, "shop", inputs, timeout_s=1, history=1)
    assert "--force-conflicts" not in rollback_arguments(4, "shop", 7, timeout_s=1, history=1)


REFUSED = (
    "an error occurred while rolling back the release. original upgrade error: conflict occurred while applying object "
    "ns/shop apps/v1, Kind=Deployment: Apply failed with {}: conflict occurred while applying object ns/shop apps/v1, "
    "Kind=Deployment: Apply failed with {}"
)


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (
            '1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas',
            {"kubectl": [".spec.replicas"]},
        ),
        (
            '2 conflicts: conflicts with "kubectl-edit" using apps/v1:\n- .spec.replicas\n'
            '- .spec.template.spec.containers[name="api"].image',
            {"kubectl-edit": [".spec.replicas", '.spec.template.spec.containers[name="api"].image']},
        ),
        (
            '2 conflicts: conflicts with "a" using v1 at 2026-01-01T00:00:00Z:\n- .data.x\n'
            'conflicts with "b" using v1:\n- .data.y',
            {"a": [".data.x"], "b": [".data.y"]},
        ),
    ],
)
def test_a_conflict_is_read_with_its_fields_and_whose_they_are(said: str, fields: dict[str, list[str]]) -> None:
    found = conflicts(REFUSED.format(said, said))
    assert {each.manager: each.paths for each in found} == fields
    assert conflicts("timed out waiting for the condition") == []
    assert conflicts('Operation cannot be fulfilled on deployments "shop": the object has been modified') == []


@given(st.text(min_size=4))
def test_a_document_is_on_no_command_line(secret: str) -> None:
    inputs, other = (Inputs("chart", [Path("dev.yaml")], document=each, settings=["a=b"]) for each in (secret, "other"))
    assert inputs.arguments() == ["--values", "dev.yaml", "--values", "-", "--set", "a=b"]
    lines = [upgrade_arguments(4, "shop", each, timeout_s=1, history=1) for each in (inputs, other)]
    assert lines[0] == lines[1]


def test_records_elsewhere_are_refused() -> None:
    with pytest.raises(DeliveryError, match="unset HELM_DRIVER"):
        Helm.find({"HELM_DRIVER": "configmap"})


def _program(folder: Path, text: str) -> str:
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_helm_says_is_short_and_without_secrets(tmp_path: Path) -> None:
    program = _program(
        tmp_path, "cat >/dev/null; echo 'level=WARN msg=x' >&2; echo 'Error: bad value s3cret' >&2; exit 1"
    )
    helm = Helm(program, 4, {}, lambda text: text.replace("s3cret", "(secret)"))
    with pytest.raises(DeliveryError, match=r"refuse the release shop: bad value \(secret\)$"):
        helm.preview("shop", Inputs("chart", document="{}"), "ns")
    assert helm.upgrade("shop", Inputs("c"), "ns", timeout_s=1, history=1).wait(120) == "bad value (secret)"


def test_lint_gives_the_errors_alone(tmp_path: Path) -> None:
    said = "==> Linting\\n[INFO] Chart.yaml: icon\\n[ERROR] values.yaml: - replicas: s3cret\\n - b\\n\\nError: 1 chart"
    helm = Helm(_program(tmp_path, f"printf '{said}'; exit 1"), 4, {}, lambda text: text.replace("s3cret", "*"))
    assert helm.lint(Inputs("chart"), "ns") == "values.yaml: - replicas: *\n - b"
    assert Helm(_program(tmp_path, "exit 0"), 4, {}).lint(Inputs("chart"), "ns") == ""


def test_the_document_reaches_helm_by_its_standard_input(tmp_path: Path) -> None:
    program = _program(tmp_path, f'cat > {tmp_path}/stdin; echo "$@" > {tmp_path}/arguments')
    done = Helm(program, 4, {}).upgrade("shop", Inputs("c", document='{"a": "s3cret"}'), "ns", timeout_s=1, history=1)
    assert done.wait(120) == ""
    assert (tmp_path / "stdin").read_text() == '{"a": "s3cret"}'
    assert "s3cret" not in (tmp_path / "arguments").read_text()
