import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.scan import exceptions as exceptions_module
from pavedpath_delivery.scan.exceptions import Waiver, Waivers, load
from pavedpath_delivery.scan.gate import Asked, Rules, gate, judge
from pavedpath_delivery.scan.report import Finding, ScanReport, Severity
from typer.testing import CliRunner

from tests.unit.delivery.scan.reports import DIGEST, IMAGE, sarif, text, trivy, vulnerability

TODAY = date(2026, 1, 10)
REASON = "not reachable: the service has no fork"

findings = st.builds(
    Finding,
    st.sampled_from(["CVE-1", "CVE-2"]),
    st.sampled_from(list(Severity)),
    st.sampled_from(["a", "b"]),
    fixable=st.booleans(),
)
waivers = st.builds(
    Waiver,
    id=st.sampled_from(["CVE-1", "CVE-2", "CVE-3"]),
    package=st.sampled_from(["", "a"]),
    reason=st.just(REASON),
    expires=st.integers(-2, 2).map(lambda days: TODAY + timedelta(days)),
)


def report(*found: Finding) -> ScanReport:
    return ScanReport(IMAGE, (IMAGE,), found, "trivy")


@given(
    st.lists(findings, max_size=5),
    st.lists(waivers, max_size=4),
    st.sets(st.sampled_from(list(Severity))),
    st.booleans(),
)
def test_every_finding_that_counts_is_somewhere(
    found: list[Finding], excepted: list[Waiver], severities: set[Severity], unfixed: bool
) -> None:
    verdict = judge(report(*found), Rules(severities, excepted, TODAY, unfixed))
    counted = [each for each in found if each.severity in severities]
    shown = [*verdict.blocking, *(each for each, _ in verdict.excepted), *verdict.unfixed]
    assert sorted(map(repr, shown)) == sorted(map(repr, counted))
    assert verdict.others == len(found) - len(counted)
    assert (verdict.code is Exit.OK) is (not verdict.blocking)
    for each in verdict.blocking:
        assert not any(waiver.covers(each) and waiver.expires >= TODAY for waiver in excepted)
        assert not (unfixed and not each.fixable)
    for each, waiver in verdict.excepted:
        assert waiver.covers(each)
        assert waiver.expires >= TODAY
    for waiver in verdict.expired:
        assert waiver.expires < TODAY
    assert not {str(each) for each in verdict.unused} & {str(waiver) for _, waiver in verdict.excepted}


def waiver(expires: date, identity: str = "CVE-1", package: str = "") -> Waiver:
    return Waiver(id=identity, package=package, reason=REASON, expires=expires)


def test_an_exception_holds_through_its_last_day() -> None:
    finding = Finding("CVE-1", Severity.HIGH, "a")
    for ahead, code in ((0, Exit.OK), (-1, Exit.FAILED)):
        verdict = judge(report(finding), Rules([Severity.HIGH], [waiver(TODAY + timedelta(ahead))], TODAY))
        assert verdict.code is code
    assert verdict.remarks == [f"exception expired on 2026-01-09: CVE-1 ({REASON})"]


def test_an_exception_that_covers_nothing_is_named() -> None:
    verdict = judge(report(), Rules([Severity.HIGH], [waiver(TODAY, package="libssl")], TODAY))
    assert verdict.remarks == ["exception is not used: CVE-1 in libssl; take it out once no image needs it"]
    assert verdict.code is Exit.OK


def file_of(*entries: Any, **changes: Any) -> str:
    return yaml.safe_dump({"version": 1, "exceptions": list(entries), **changes})


GOOD = {"id": "CVE-2026-1", "reason": REASON, "expires": date(2026, 2, 1)}


def read(tmp_path: Path, content: str) -> Sequence[Waiver]:
    file = tmp_path / "exceptions.yaml"
    file.write_text(content)
    return load(file, TODAY)


def test_a_file_of_exceptions(tmp_path: Path) -> None:
    parsed = read(tmp_path, file_of(GOOD, {**GOOD, "package": "libssl1.1"}))
    assert [str(each) for each in parsed] == ["CVE-2026-1", "CVE-2026-1 in libssl1.1"]
    assert read(tmp_path, file_of()) == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is empty"),
        ("{", "no YAML"),
        ("- id: CVE-1\n", "it must be keys with values"),
        (file_of(version=2), "version: it must be 1"),
        (file_of(GOOD, other=1), "other: there is no such key"),
        (file_of({**GOOD, "severity": "LOW"}), "exceptions.0.severity: there is no such key"),
        (file_of({**GOOD, "reason": "no"}), "exceptions.0.reason: it must have at least 10 characters"),
        (file_of(GOOD, {"id": "CVE-1", "reason": REASON}), "exceptions.1.expires: it is missing"),
        (file_of({**GOOD, "expires": "never"}), "exceptions.0.expires: it must be a date such as"),
        (file_of({**GOOD, "expires": date(2027, 1, 1)}), "in more than 90 days. Fix: 2026-04-10 at the latest"),
        (file_of(GOOD, GOOD), "there twice"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DeliveryError) as error:
        read(tmp_path, content)
    assert error.value.code is Exit.USAGE
    assert said in str(error.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError) as error:
        read(tmp_path, file_of({"id": ""}, {**GOOD, "until": 1}))
    said = str(error.value)
    for where in (
        "exceptions.yaml",
        "exceptions.0.id",
        "exceptions.0.reason",
        "exceptions.0.expires",
        "exceptions.1.until",
    ):
        assert where in said


def test_the_schema_for_editors_is_up_to_date() -> None:
    path = Path(exceptions_module.__file__).with_name("exceptions.schema.json")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Waivers.model_json_schema()}
    assert path.read_text() == json.dumps(schema, indent=2) + "\n"


# The files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


HIGH = vulnerability("CVE-2026-1", "libssl1.1", "HIGH")
MEDIUM = vulnerability("CVE-2026-2", "libssl1.1", "MEDIUM")
UNFIXED = vulnerability("CVE-2026-3", "musl", "CRITICAL", "")


@pytest.mark.parametrize("form", [trivy, sarif])
def test_red_and_green(path: Path, form: Any) -> None:
    def code(*found: dict[str, Any], **asked: Any) -> Exit:
        path.write_text(text(form(*found)))
        return gate(Asked(path, **asked), TODAY).code

    assert code() is Exit.OK
    assert code(MEDIUM) is Exit.OK
    assert code(HIGH) is Exit.FAILED
    assert code(MEDIUM, severities=[Severity.MEDIUM]) is Exit.FAILED
    assert code(UNFIXED) is Exit.FAILED
    assert code(UNFIXED, ignore_unfixed=True) is Exit.OK
    assert code(HIGH, UNFIXED, ignore_unfixed=True) is Exit.FAILED


@pytest.mark.parametrize("form", [trivy, sarif])
@pytest.mark.parametrize(
    ("image", "same"),
    [
        (IMAGE, True),
        (f"registry.example/copy/api@{DIGEST}", True),  # the same bytes under another name
        (f"ghcr.io/acme/orders/api@sha256:{'cd' * 32}", False),
        ("ghcr.io/acme/orders/api:v1.0.0", False),
        ("ghcr.io/acme/orders/api", False),
    ],
)
def test_a_report_of_another_image_is_red(path: Path, form: Any, image: str, same: bool) -> None:
    path.write_text(text(form()))
    if same:
        assert gate(Asked(path, image), TODAY).code is Exit.OK
        return
    with pytest.raises(DeliveryError, match="not about") as error:
        gate(Asked(path, image), TODAY)
    assert error.value.code is Exit.FAILED


def test_an_image_may_be_named_by_a_tag(path: Path) -> None:
    path.write_text(text(trivy()))
    assert gate(Asked(path, "ghcr.io/Acme/orders/api:sha-0123456789ab"), TODAY).code is Exit.OK
    path.write_text(text(trivy(ArtifactName="redis", Metadata={})))
    assert gate(Asked(path, "docker.io/library/redis:latest"), TODAY).code is Exit.OK


def test_a_report_of_an_archive_is_of_no_image(path: Path) -> None:
    path.write_text(text(trivy(ArtifactName="image with spaces.tar", Metadata={})))
    with pytest.raises(DeliveryError, match=r"is about image with spaces.tar, not about"):
        gate(Asked(path, IMAGE), TODAY)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe\x00", b"{}", b"[" * 50_000])
def test_no_usable_report_is_red_and_never_green(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeliveryError) as error:
        gate(Asked(path), TODAY)
    assert error.value.code is Exit.FAILED
    assert str(path) in str(error.value)


def test_exceptions_that_cannot_be_read_are_no_reason_to_go_on(path: Path, tmp_path: Path) -> None:
    path.write_text(text(trivy()))
    with pytest.raises(DeliveryError, match="cannot be read") as error:
        gate(Asked(path, exceptions=tmp_path / "none.yaml"), TODAY)
    assert error.value.code is Exit.USAGE


def run(*arguments: str, **environ: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["scan", "gate", *arguments], env=environ)
    return done.exit_code, done.output


def test_the_command(path: Path, tmp_path: Path) -> None:
    path.write_text(text(trivy(HIGH, MEDIUM, UNFIXED)))
    summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
    code, printed = run(str(path), "--image", IMAGE, GITHUB_STEP_SUMMARY=str(summary), GITHUB_OUTPUT=str(outputs))
    assert code == 1
    assert printed.splitlines() == [
        "CRITICAL  CVE-2026-3  musl 1.1.1c-r0, not fixed yet",
        "HIGH  CVE-2026-1  libssl1.1 1.1.1c-r0, fixed in 1.1.1d-r0",
        f"red: 2 findings of CRITICAL, HIGH in {IMAGE}",
    ]
    assert outputs.read_text() == "blocking=2\nexcepted=0\n"
    assert (
        "| HIGH | [CVE-2026-1](https://avd.aquasec.com/nvd/cve-2026-1) | libssl1.1 | 1.1.1c-r0 | 1.1.1d-r0 | blocks |"
        in (summary.read_text())
    )


@pytest.mark.parametrize(
    ("severity", "said"), [("HIGH,BAD", "BAD: no such severity"), (" ,", "nothing would ever be red")]
)
def test_severities_that_are_none(path: Path, severity: str, said: str) -> None:
    path.write_text(text(trivy()))
    code, printed = run(str(path), "--severity", severity)
    assert (code, said in printed) == (2, True)


def test_words_of_an_image_do_not_leave_their_cell() -> None:
    finding = Finding("CVE-1", Severity.HIGH, "a | b\n\n# <img src=x> [x](https://evil.example)", url="javascript:x")
    summary = judge(report(finding), Rules([Severity.HIGH], [], TODAY)).summary()
    row = next(line for line in summary.splitlines() if "CVE-1" in line)
    assert row.replace("\\|", "").count("|") == 7
    assert "<img" not in summary
    assert " [x](" not in summary.replace("\\[", "")
    assert "javascript" not in summary


def test_a_long_list_is_cut_in_the_summary() -> None:
    many = [Finding(f"CVE-{number}", Severity.HIGH, "a") for number in range(80)]
    assert "and 30 more in the report" in judge(report(*many), Rules([Severity.HIGH], [], TODAY)).summary()


def test_what_a_package_is_called_commands_nobody(path: Path) -> None:
    name = "q\n::error::pwn\n::stop-commands::x\x1b[2J"
    path.write_text(text(trivy(vulnerability("CVE-2026-9", name, "HIGH"))))
    code, printed = run(str(path))
    assert code == 1
    assert printed.splitlines()[0] == (
        r"HIGH  CVE-2026-9  q\n::error::pwn\n::stop-commands::x\x1b[2J 1.1.1c-r0, fixed in 1.1.1d-r0"
    )
    assert len(printed.splitlines()) == 2
