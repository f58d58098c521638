from pavedpath_delivery.stack.events import Diagnostic
from pavedpath_delivery.stack.run import Run

from tests.unit.delivery.support import replay


def test_counts_are_of_resources_without_the_stack_and_providers() -> None:
    assert replay("up").counts == {"created": 3}
    assert replay("noop").counts == {"unchanged": 3}
    assert replay("destroy", "destroy").counts == {"deleted": 3}
    assert replay("drift", "refresh").counts == {"updated": 1, "deleted": 1, "unchanged": 1}


def test_all_is_finished_at_the_end_and_nothing_is_in_flight() -> None:
    run = replay("up", known=2)
    assert (run.finished, run.total, run.in_flight) == (3, 3, {})


def test_outputs_are_those_of_the_stack_with_secrets_hidden() -> None:
    assert replay("up").outputs == {
        "logs": {"group": "/app"},
        "registry": {"repository": replay("up").outputs["registry"]["repository"], "token": "[secret]"},
    }


def test_each_error_is_told_once_with_its_resource() -> None:
    errors = replay("failed", exit_code=1).errors
    assert [error.urn.rsplit("::", 1)[-1] for error in errors] == ["broken"]
    assert errors[0].message.startswith("attaching IAM Policy")


def test_the_programs_words_come_verbatim_and_without_the_engines() -> None:
    run = replay("settings", exit_code=1)
    assert run.program_output == (
        "dev: 2 settings are wrong\n  network.cidr: '10.0/8' is not a network; write e.g. 10.0.0.0/16\n  owner: missing"
    )
    assert run.errors == []


def test_a_failure_without_events_is_told_by_the_engines_stderr() -> None:
    noise = "warning: using pulumi-language-python from $PATH at /opt/pulumi-language-python\n"
    run = Run("dev", "up", exit_code=255, stderr=noise + "error: incorrect passphrase\n")
    assert [error.message for error in run.errors] == ["error: incorrect passphrase".removeprefix("error: ")]
    assert Run("dev", "up", exit_code=1).errors[0].message == "the engine ended with code 1 and said nothing"


def test_an_engine_that_was_killed() -> None:
    assert Run("dev", "up", exit_code=-9).errors[0].message.startswith("the engine was killed by signal 9")


def test_a_providers_log_line_is_told_if_it_is_all_there_is() -> None:
    run = Run("dev", "up", exit_code=1)
    run.diagnostics.append(Diagnostic(urn="u", message="sdk-v2/provider2.go:1: boom", severity="error"))
    assert [error.message for error in run.errors] == ["sdk-v2/provider2.go:1: boom"]
