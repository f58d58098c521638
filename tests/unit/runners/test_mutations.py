"""Every guard is needed: with any one of them taken out of a copy of the package, the test named for it fails there."""

import importlib
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

import pavedpath_runners
import pytest
from hypothesis import Phase, settings

from . import test_guards
from .mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[3]
PACKAGE = Path(pavedpath_runners.__file__).parent
FOLDER = __package__ or ""
PATIENCE = 60
"""Seconds of the processor after which a copy that does not end is killed: a guard's loss must make a test fail, not
hang."""
BLOCKED = 600
"""The same for one that takes no time of the processor."""


class Verdict(IntEnum):
    """What came of tests in another process: its exit status."""

    PASSED = 0
    FAILED = 1
    BROKEN = 2
    """The copy does not even run, which shows nothing of the guard."""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: re.sub(r"\W+", "-", each.guard))
def test_without_a_guard_its_test_fails(mutation: Mutation, tmp_path: Path) -> None:
    file = copied(tmp_path) / mutation.file
    text = file.read_text()
    found = text.count(mutation.text)
    assert found == 1, f"{mutation.file} has {mutation.text!r} {found} times: bring `mutations` up to date"
    file.write_text(text.replace(mutation.text, mutation.instead))
    verdict, told = judged([mutation.test], tmp_path)
    assert verdict == Verdict.FAILED, f"{mutation.test} does not notice that the guard is gone: {told}"


def test_with_all_guards_the_tests_pass_on_a_copy(tmp_path: Path) -> None:
    """So it is the guard's loss that fails them, and not the copy."""
    copied(tmp_path)
    verdict, told = judged(dict.fromkeys(each.test for each in MUTATIONS), tmp_path)
    assert verdict == Verdict.PASSED, told


def test_a_copy_that_does_not_run_shows_nothing(tmp_path: Path) -> None:
    (copied(tmp_path) / "control.py").write_text("def broken(")
    verdict, told = judged([MUTATIONS[0].test], tmp_path)
    assert verdict == Verdict.BROKEN
    assert "SyntaxError" in told


def test_every_test_of_a_guard_has_a_guard_to_miss() -> None:
    tests = {f"test_guards.{name}" for name in dir(test_guards) if name.startswith("test_guard_")}
    assert tests - {each.test for each in MUTATIONS} == set()
    assert len({each.guard for each in MUTATIONS}) == len(MUTATIONS)


def copied(place: Path) -> Path:
    """Copy the package into an empty folder, so that nothing is ever changed where people work."""
    copy = place / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def judged(tests: Iterable[str], place: Path) -> tuple[int, str]:
    """Run tests on the package in `place`, up to the first that fails; return the verdict, and the last words.

    They run in a process of their own, but in no new interpreter: what takes long is to import pytest and Hypothesis.
    """
    words = place / "words"
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, words.read_text() if words.exists() else f"the process ended with {status}"
    verdict = Verdict.BROKEN
    try:
        for each in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(each, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        signal.alarm(BLOCKED)
        verdict = _judged(tests, place)
    except BaseException:  # noqa: BLE001 - nothing of this process may reach the one that it was made of
        words.write_text(traceback.format_exc())
    finally:
        os._exit(verdict)


def _judged(tests: Iterable[str], place: Path) -> Verdict:
    for name in list(sys.modules):
        if name.startswith((PACKAGE.name, FOLDER)):
            del sys.modules[name]
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(place), str(ROOT)]
    importlib.invalidate_caches()
    # The same examples each time, and none that is kept for the next run of the tests themselves.
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("copy", derandomize=True, database=None, deadline=None, phases=phases)
    settings.load_profile("copy")
    for test in tests:
        module, _, function = test.rpartition(".")
        run = getattr(importlib.import_module(f"{FOLDER}.{module}"), function)
        used = str(sys.modules[PACKAGE.name].__file__)
        if not used.startswith(str(place)):
            raise RuntimeError(f"{used} is tested, and not the copy in {place}")
        try:
            run()
        except (AssertionError, pytest.fail.Exception):
            (place / "words").write_text(f"{test}: {traceback.format_exc()}")
            return Verdict.FAILED
    return Verdict.PASSED
