"""What a runner fleet is made of, without an engine: its functions' files, their layer, its alarms."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pavedpath import runner_fleet_layer as layer
from pavedpath.runner_fleet_alarms import LOST, METRICS, OLDEST, QUEUE_TIME, RUNBOOK, fleet_alarms
from pavedpath.runner_fleet_arguments import LEAST_BOOT_TO_SLEEP, LIVES_A_BOOT
from pavedpath.runner_fleet_functions import SIZES, sources
from pavedpath.runner_fleet_policies import FLEET_TAG, Function
from pavedpath_runners.adapters import ec2, telemetry
from pavedpath_runners.decisions import launching, reconciling
from pavedpath_runners.decisions.model import LEASE, Metric

QUEUES = {"launch": "l", "dead": "d", "failures": "f"}


class TestFunctions:
    def test_every_ones_module_is_in_the_archive(self) -> None:
        for function in Function:
            assert f"pavedpath_runners/functions/{function}.py" in sources()

    def test_the_archive_imports_nothing_that_it_has_not(self) -> None:
        there = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in sources()}
        for name, path in sources().items():
            for node in ast.walk(ast.parse(path.read_text())):
                wanted = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
                if wanted and wanted.startswith("pavedpath_runners."):
                    assert wanted in there, f"{name} imports {wanted}"

    def test_the_archive_is_small_and_has_neither_simulator_nor_tests(self) -> None:
        assert not [name for name in sources() if "simulator" in name or "machine/" in name or "test" in name]
        assert sum(path.stat().st_size for path in sources().values()) < 1_000_000

    def test_a_step_is_over_when_its_lease_is(self) -> None:
        assert max(SIZES[each].seconds for each in (Function.LAUNCH, Function.RECONCILE)) < LEASE

    def test_their_machines_are_those_that_they_may_end(self) -> None:
        assert FLEET_TAG == ec2.FLEET_TAG


class TestMachines:
    def test_have_booted_for_long_enough_to_be_asleep_before_they_give_up(self) -> None:
        minute = 60
        # The reconciler looks at a machine once a minute, and stopping one takes a while.
        assert LEAST_BOOT_TO_SLEEP * minute >= reconciling.SETTLE + 2 * minute

    def test_may_come_up_as_late_as_a_job_is_given_to_them(self) -> None:
        assert LIVES_A_BOOT == 1 / launching.SERVICE


class TestAlarms:
    def test_watch_metrics_that_the_functions_write(self) -> None:
        assert (METRICS, LOST, OLDEST, QUEUE_TIME) == (
            telemetry.NAMESPACE,
            Metric.LOST,
            Metric.OLDEST,
            Metric.QUEUE_TIME,
        )
        own = [each for each in fleet_alarms("dev", QUEUES, ["f"], 900, 180) if each.namespace == METRICS]
        assert {tuple(each.dimensions.items()) for each in own} == {(("fleet", "dev"),)}

    def test_each_says_what_to_do(self) -> None:
        assert {each.kind for each in fleet_alarms("dev", QUEUES, ["f"], 900, 180)} == set(RUNBOOK)
        # Source: AWS, API reference of CloudWatch PutMetricAlarm, AlarmDescription.
        assert all(len(text) <= 1024 for text in RUNBOOK.values())

    def test_have_the_limits_that_are_given(self) -> None:
        limits = {each.kind: each.above for each in fleet_alarms("dev", QUEUES, ["f"], 1200, 60)}
        assert (limits["OldestWaitingJob"], limits["QueueTime"], limits["LostJobs"]) == (1200, 60, 0)

    def test_a_reconciler_that_fails_every_time_alarms(self) -> None:
        (errors,) = (each for each in fleet_alarms("dev", QUEUES, ["f"], 900, 180) if each.kind == "FunctionErrors")
        a_minute = 60
        assert errors.period / a_minute > errors.above
        # One failure that is retried (twice, as Lambda does with an interruption) is none to wake anyone for.
        assert errors.above > 3


class TestLayer:
    def test_the_same_files_make_the_same_bytes(self, tmp_path: Path) -> None:
        made: list[bytes] = []
        for number, order in enumerate((("a.py", "b.so"), ("b.so", "a.py"))):
            directory = tmp_path / str(number) / "python"
            (directory / "x-1.dist-info").mkdir(parents=True)
            (directory / "__pycache__").mkdir()
            for name in order:
                (directory / name).write_text(name)
            for name in ("RECORD", "INSTALLER"):
                (directory / "x-1.dist-info" / name).write_text(f"{number}")
            (directory / "__pycache__" / "a.pyc").write_text(f"{number}")
            (directory / "x-1.dist-info" / "METADATA").write_text("Version: 1")
            (directory / "b.so").chmod(0o700 + number)
            layer.write_archive(tmp_path / f"{number}.zip", directory)
            made.append((tmp_path / f"{number}.zip").read_bytes())
        assert made[0] == made[1]
        with zipfile.ZipFile(tmp_path / "0.zip") as archive:
            assert archive.namelist() == ["python/a.py", "python/b.so", "python/x-1.dist-info/METADATA"]

    def test_every_wheel_is_held_to_a_checksum(self) -> None:
        lines = layer.requirements().splitlines()
        assert {line.partition("==")[0] for line in lines} == {"cryptography", "cffi", "pycparser"}
        assert all(len(line.partition(" --hash=sha256:")[2]) == 64 for line in lines)

    @pytest.mark.parametrize("uv", [None, "uv"], ids=["pip", "uv"])
    def test_wheels_are_for_the_functions_machines_and_never_built(self, uv: str | None) -> None:
        command = " ".join(layer.installer(Path("r.txt"), Path("python"), uv))
        assert "aarch64" in command
        assert all(each in command for each in ("--require-hashes", "--only-binary :all:", "--python-version 3.13"))

    def test_says_what_to_do_when_no_index_has_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        uv = tmp_path / "uv"
        uv.write_text("#!/bin/sh\necho 'no index' >&2\nexit 2\n")
        uv.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        assert layer.main([str(tmp_path / "layer.zip")]) == 1
        said = capsys.readouterr().err
        assert "no index" in said
        assert "Fix: let uv or pip reach an index" in said
        assert not (tmp_path / "layer.zip").exists()

    def test_runs_without_an_engine(self) -> None:
        command = [sys.executable, "-X", "importtime", "-m", "pavedpath.runner_fleet_layer", "--help"]
        environment = {**os.environ, "COLUMNS": "100"}  # argparse breaks its lines by it
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "runner-fleet-layer.zip" in done.stdout
        assert "pulumi_aws" not in done.stderr
