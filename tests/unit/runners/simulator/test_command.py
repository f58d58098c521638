"""The command, and the numbers for the benchmark."""

import argparse
import gc
import subprocess
import sys

import pytest
from pavedpath_runners.simulator import benchmark
from pavedpath_runners.simulator.__main__ import SIMULATED, main, seeds_of
from pavedpath_runners.simulator.pavedpath import Pavedpath
from pavedpath_runners.simulator.scenario import KINDS


@pytest.mark.parametrize(
    ("text", "seeds"), [("7", [7]), ("3..5", [3, 4, 5]), ("1,4..5,9", [1, 4, 5, 9]), ("0..0", [0])]
)
def test_seeds_of(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1..", "1..y", "-3"])
def test_what_are_no_seeds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither a seed nor a range"):
        seeds_of(text)


def test_run_tells_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--seeds", f"0..{len(KINDS) - 1}"]) == 0
    told = capsys.readouterr().out
    assert all(kind in told for kind in KINDS)
    assert f"{len(KINDS)} of {len(KINDS)} seeds held" in told
    assert SIMULATED in told


def test_a_failing_seed_says_how_to_show_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tick(_: Pavedpath) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Pavedpath, "tick", tick)
    assert main(["run", "--seeds", "0..20", "--most", "2"]) == 1
    told = capsys.readouterr().out
    assert "python -m pavedpath_runners.simulator show 0\n" in told
    assert "ZeroDivisionError" in told
    assert "Stopped after 2 failing seeds, 2 of 21 run." in told
    assert main(["show", "0"]) == 1


def test_show_prints_a_timeline_of_all_or_of_one_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "0"]) == 0
    whole = capsys.readouterr().out
    assert "job queued job 10001" in whole
    assert "seed 0, calm, pavedpath" in whole
    assert main(["show", "0", "--job", "10001"]) == 0
    one = capsys.readouterr().out
    assert "job queued job 10001" in one
    assert "job queued job 10002" not in one
    assert len(one) < len(whole)


def test_compare_says_that_it_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--seeds", "0,6"]) == 0
    told = capsys.readouterr().out
    assert "Simulated" in told
    assert "terraform-aws-github-runner" in told


def test_the_benchmark_counts_what_it_measures() -> None:
    collected = gc.get_threshold()
    speed = benchmark.measure(20)
    assert gc.get_threshold() == collected
    assert speed.jobs == 20
    assert speed.memory_bytes > 2**20
    assert speed.events > speed.calls > 20
    assert speed.events_a_second == pytest.approx(speed.events / speed.seconds)
    assert benchmark.seeds(range(2)) > 0


def test_seeds_may_run_in_several_processes() -> None:
    """As a command: what a package's `__main__` holds is not what its children see."""
    command = [sys.executable, "-m", "pavedpath_runners.simulator", "run", "--jobs", "2", "--seeds", "0..41"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "42 of 42 seeds held" in done.stdout


@pytest.mark.parametrize(
    "given", [["run", "--seeds", "9..3"], ["run", "--jobs", "0"], ["show", "-1"], ["compare", "--seeds", "x"]]
)
def test_what_cannot_be_run_is_told_and_is_no_success(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(given)
    assert "error: " in capsys.readouterr().err


def test_a_job_that_a_seed_does_not_have_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "5", "--job", "1"]) == 2
    assert "seed 5 has no job 1; it has 10001 to " in capsys.readouterr().out


def test_a_jobs_timeline_has_few_lines_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "5", "--job", "10001"])
    told = capsys.readouterr().out.splitlines()
    main(["show", "5"])
    whole = capsys.readouterr().out.splitlines()
    assert sum("10001" in each for each in told) > 5
    assert len(told) < len(whole) / 2
