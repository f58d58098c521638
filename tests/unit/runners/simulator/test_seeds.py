"""Ten thousand drawn worlds, in batches: no job lost, none launched twice, no busy machine ended, nothing left."""

import pytest
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import KINDS, draw
from pavedpath_runners.simulator.simulation import run

SEEDS, BATCH = 10_000, 250


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_invariant_holds(first: int) -> None:
    for seed in range(first, first + BATCH):
        run(draw(seed), seed, PAVEDPATH)  # raises with the timeline, and says how to show it


def test_seeds_take_all_kinds_in_turn() -> None:
    assert [draw(seed).name for seed in range(len(KINDS))] == list(KINDS)
    assert draw(3) == draw(3)
    assert draw(3) != draw(3 + len(KINDS))


@pytest.mark.parametrize("seed", [kind for kind, name in enumerate(KINDS) if name == "calm"])
def test_in_a_calm_world_every_job_is_one_machine_and_waits_for_little_but_its_boot(seed: int) -> None:
    for each in range(seed, seed + 5 * len(KINDS), len(KINDS)):
        scenario = draw(each)
        result = run(scenario, each, PAVEDPATH)
        assert result.launches == result.jobs == scenario.jobs
        assert len(result.queue_seconds) == result.jobs
        assert result.faults == result.failures == 0
        # Boot of at most 60 s, the launch and GitHub's own steps; more only if the pool is full.
        if scenario.jobs <= min(pool.maximum for pool in scenario.fleet.pools):
            assert result.queue_seconds[-1] < 120
