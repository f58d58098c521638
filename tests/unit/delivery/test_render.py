from pavedpath_delivery.stack import render
from pavedpath_delivery.stack.diff import PropertyChange
from pavedpath_delivery.stack.events import Event, parse_event
from pavedpath_delivery.stack.layers import layers
from pavedpath_delivery.stack.run import Run
from rich.console import Group
from syrupy.assertion import SnapshotAssertion

from tests.unit.delivery.support import RECORDED, printed, replay

OUTPUTS = {
    "network": {"vpc": "vpc-0a1b2c3d4e5f60718", "subnets": [f"subnet-{n:017x}" for n in range(6)], "nat": "52.0.0.1"},
    "keys": {"sops": "arn:aws:kms:us-east-1:123456789012:key/e1135237-a313-49f5-b18c-e6f5de2df3e7"},
    "registry": {f"image-{n}": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/image-{n}" for n in range(20)},
    "delivery": {"role": "arn:aws:iam::123456789012:role/dev-deploy", "token": "[secret]"},
    "release": {"name": "api", "namespace": "shop", "status": "deployed"},
}


def test_results(snapshot: SnapshotAssertion) -> None:
    runs = [replay("up"), replay("noop"), replay("failed", exit_code=1), replay("destroy", "destroy")]
    assert "".join(printed(render.result(run)) for run in runs) == snapshot


def test_a_preview(snapshot: SnapshotAssertion) -> None:
    names = ("preview", "preview-replace", "preview-none", "up")
    assert "\n".join(printed(render.change_list("dev", replay(n, "preview").changes)) for n in names) == snapshot


def test_drift(snapshot: SnapshotAssertion) -> None:
    runs = [replay("drift", "refresh"), Run("dev", "refresh")]
    assert "".join(printed(render.change_list("dev", run.changes, render.DRIFT)) for run in runs) == snapshot


def test_one_is_one() -> None:
    one = replay("preview", "preview").changes[:1]
    assert printed(render.change_list("dev", one)).startswith("dev  1 resource would change\n")
    assert printed(render.change_list("dev", one, render.DRIFT)).startswith("dev  1 resource differs from the state\n")


def test_a_preview_as_json(snapshot: SnapshotAssertion) -> None:
    assert render.changes_json("dev", replay("preview-replace", "preview")) == snapshot


def test_failures(snapshot: SnapshotAssertion) -> None:
    assert printed(render.failure(replay("failed", exit_code=1))) == snapshot


def test_a_settings_error_comes_first_and_alone() -> None:
    text = printed(render.failure(replay("settings", exit_code=1)))
    assert text == (
        "dev: 2 settings are wrong\n"
        "  network.cidr: '10.0/8' is not a network; write e.g. 10.0.0.0/16\n"
        "  owner: missing\n"
    )


def test_a_release_that_failed_names_its_pods(snapshot: SnapshotAssertion) -> None:
    urn = "urn:pulumi:dev::shop::pavedpath:index:App$kubernetes:helm.sh/v3:Release::api"
    run = Run("dev", "up", exit_code=1)
    line = {"urn": urn, "message": "1 error occurred:\n\t* context deadline exceeded\n", "severity": "error"}
    run.apply(Event.model_validate({"diagnosticEvent": line}), 0)
    report = ["release api in namespace shop: 1 pod(s) did not get ready", "  pod api-7d4-x: ImagePullBackOff: no"]
    text = printed(render.failure(run, {urn: report}))
    assert text == snapshot
    assert text.count("api-7d4-x") == 1


def test_the_summary_of_two_stacks_fits_a_screen_of_80_by_24(snapshot: SnapshotAssertion) -> None:
    shared = layers("shared", {"repository": {"url": "https://github.com/acme/shop", "ruleset": 42}})
    commands = ["make preview", "make test", "make down"]
    text = printed(render.summary([*shared, *layers("dev", OUTPUTS)], commands, used_lines=3))
    lines = text.splitlines()
    assert len(lines) + 3 <= 24
    assert all(len(line) <= 80 for line in lines)
    assert text == snapshot


def test_live_progress_shows_what_is_done_and_what_is_under_way(snapshot: SnapshotAssertion) -> None:
    run = Run("dev", "up", known=3)
    for second, line in enumerate((RECORDED / "up.jsonl").read_text().splitlines()):
        event = parse_event(line)
        if event:
            run.apply(event, float(second))
        if event and event.started and event.started.metadata.custom and len(render.working(run)) == 2:
            break
    step = next(iter(run.in_flight))
    run.apply(
        Event.model_validate(
            {"diagnosticEvent": {"urn": step, "message": "[1/2] waiting\n", "severity": "info", "ephemeral": True}}
        ),
        0,
    )
    assert printed(Group(*render.progress_lines(run, now=100.0))) == snapshot


def test_many_steps_under_way_are_cut() -> None:
    run = Run("dev", "up")
    for number in range(20):
        urn = f"urn:pulumi:dev::shop::aws:ec2/subnet:Subnet::{number}"
        step = {"op": "create", "urn": urn, "type": "aws:ec2/subnet:Subnet", "new": {"custom": True}}
        run.apply(Event.model_validate({"resourcePreEvent": {"metadata": step}}), number)
    text = printed(Group(*render.progress_lines(run, now=100.0)))
    assert "and 14 more" in text
    assert len(text.splitlines()) == 8


def test_everything_is_shown_on_demand() -> None:
    text = printed(render.summary(layers("dev", OUTPUTS), [], everything=True), width=200)
    assert "more:" not in text
    assert "image-19" in text
    assert "key/e1135237-a313-49f5-b18c-e6f5de2df3e7" in "".join(text.split())


def test_long_and_odd_values_stay_on_one_line() -> None:
    line = render.property_line(PropertyChange("policy", "update", "a\nb", "x" * 500))
    assert "\n" not in line
    assert len(line) < 160
    assert render.property_line(PropertyChange("n", "add", None, "[secret]")) == "+ n: [secret]"


def test_markup_in_names_is_text() -> None:
    run = Run("[bold]x", "up", exit_code=1, stderr="error: [red]no[/red]")
    assert "[red]no[/red]" in printed(render.failure(run))
    assert "[bold]x" in printed(Group(*render.progress_lines(run, now=0)))


def test_durations() -> None:
    assert [render.seconds(value) for value in (0.4, 59.9, 60, 605)] == ["0 s", "59 s", "1 min 00 s", "10 min 05 s"]
