import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.scan.report import Finding, MalformedError, Severity, parse_report

from tests.unit.delivery.scan.reports import IMAGE, OTHER_CLASSES, sarif, text, trivy, vulnerability

names = st.from_regex(r"[a-z][a-z0-9.+-]{0,8}", fullmatch=True)
vulnerabilities = st.lists(
    st.builds(
        vulnerability,
        st.integers(1, 30).map("CVE-2026-{:04}".format),
        names,
        st.sampled_from([*Severity]).map(str),
        st.sampled_from(["", "1.1.1d-r0"]),
    ),
    max_size=6,
)


@given(vulnerabilities)
def test_both_forms_say_the_same(found: list[dict[str, Any]]) -> None:
    ours, theirs = parse_report(text(trivy(*found))), parse_report(text(sarif(*found)))
    assert ours.findings == theirs.findings
    assert ours.artifact == theirs.artifact == IMAGE
    assert len(ours.findings) == len(found)


def test_a_vulnerability() -> None:
    assert parse_report(text(trivy(vulnerability("CVE-2026-1", "libssl1.1", "HIGH")))).findings == (
        Finding(
            "CVE-2026-1",
            Severity.HIGH,
            "libssl1.1",
            "1.1.1c-r0",
            "1.1.1d-r0",
            title="openssl: information disclosure in fork()",
            url="https://avd.aquasec.com/nvd/cve-2026-1",
        ),
    )


def test_what_else_trivy_finds() -> None:
    report = parse_report(text(trivy(Results=OTHER_CLASSES)))
    assert [(each.id, each.severity, each.package) for each in report.findings] == [
        ("github-pat", "CRITICAL", "/app/.env"),
        ("DS002", "HIGH", "Dockerfile"),
        ("LGPL-2.1", "HIGH", "chardet"),
    ]
    assert all(each.fixable for each in report.findings)
    assert "hunter2" not in repr(report)


def test_the_worst_is_first_and_a_clean_report_is_clean() -> None:
    found = [vulnerability("CVE-2026-1", "a", "LOW"), vulnerability("CVE-2026-9", "b", "CRITICAL")]
    assert [each.severity for each in parse_report(text(trivy(*found))).findings] == ["CRITICAL", "LOW"]
    for clean in (trivy(), sarif()):
        assert parse_report(text(clean)).findings == ()


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def changed(**fields: Any) -> dict[str, Any]:
    return trivy({**vulnerability("CVE-2026-1", "a", "LOW"), **fields})


def sarif_with(**fields: Any) -> dict[str, Any]:
    document = sarif(vulnerability("CVE-2026-1", "a", "LOW"))
    document["runs"][0] |= fields
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (text(trivy())[:-20], "broke off"),
        ("[]", "neither trivy's JSON"),
        ("{}", "neither trivy's JSON"),
        ("null", "neither trivy's JSON"),
        ('[{"Target": "x", "Vulnerabilities": null}]', "neither trivy's JSON"),  # trivy's before schema version 2
        (text(trivy(SchemaVersion=3)), "schema version is 3"),
        (text(trivy(Results=[])), "holds no results"),
        (text(trivy(Results=None)), "holds no results"),
        (text(without(trivy(), "Results")), "holds no results"),
        (text(trivy(Results={})), "no list of objects"),
        (text(trivy(Results=["x"])), "no list of objects"),
        (text(trivy(ArtifactName="")), "no `ArtifactName`"),
        (text(trivy(Results=[{"Vulnerabilities": []}])), "no `Target`"),
        (text(changed(Severity=None)), "no severity of trivy's"),
        (text(changed(Severity="high")), "no severity of trivy's"),
        (text(changed(VulnerabilityID=7)), "no `VulnerabilityID`"),
        (text(changed(PkgName=None)), "no `PkgName`"),
        (text({**sarif(), "version": "2.0.0"}), "2.1.0 is known"),
        (text({**sarif(), "runs": []}), "no runs"),
        (text(sarif_with(results=None)), "no `results`"),
        (text(sarif_with(tool={"driver": {"name": "CodeQL"}})), "not trivy's"),
        (text(sarif_with(tool={"driver": {"name": "Trivy", "rules": []}})), "has no rule"),
        (text(sarif_with(results=[{"ruleId": "CVE-2026-1", "message": {"text": "Severity: BAD"}}])), "no severity of"),
        (text({**sarif(), "runs": [without(sarif()["runs"][0], "results")]}), "no `results`"),
    ],
)
def test_what_cannot_be_judged_is_never_clean(document: str, said: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_report(document)
    assert said in str(error.value)


KEYS = ["SchemaVersion", "Results", "runs", "version", "Target", "ArtifactName", "tool", "results"]
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_other_documents_are_refused_and_nothing_worse(document: Any) -> None:
    try:
        report = parse_report(json.dumps(document))
    except MalformedError:
        return
    assert report.form in ("trivy", "sarif")


def test_a_message_cannot_make_itself_less_severe() -> None:
    document = sarif(vulnerability("CVE-2026-1", "a\nSeverity: LOW", "CRITICAL"))
    assert parse_report(text(document)).findings[0].severity is Severity.CRITICAL


def test_a_licence_in_sarif_has_its_severity_in_its_rule() -> None:
    rule = {"id": "chardet:LGPL-2.1", "properties": {"tags": ["license", "security", "HIGH"]}}
    message = {"text": "Artifact: Python\nLicense LGPL-2.1\nPkgName: chardet\n Classification: restricted\n Path: "}
    document = sarif_with(
        tool={"driver": {"name": "Trivy", "rules": [rule]}}, results=[{"ruleId": rule["id"], "message": message}]
    )
    found = parse_report(text(document)).findings[0]
    assert (found.severity, found.package, found.fixable) == (Severity.HIGH, "chardet", True)
