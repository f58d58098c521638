"""The baseline of `make bench` stays comparable: it registers what the program registers."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.overhead import run

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("stack", ["shared", "dev"])
def test_the_baseline_has_the_resources_of_the_program(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A program that is run puts itself on the path and changes the directory; the test's end brings both back.
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    graphs = {project: run(str(ROOT / project), stack) for project in (".", "bench/baseline")}
    ours, by_hand = (Counter(node.type_ for node in graph.nodes.values() if node.custom) for graph in graphs.values())
    assert [graph.repeated for graph in graphs.values()] == [[], []]
    assert (by_hand - ours, ours - by_hand) == (Counter(), Counter()), "too many and missing in bench/baseline"
