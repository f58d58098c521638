"""The measured receivers do what they are measured for: they take what is signed, and nothing else."""

from collections.abc import Callable

import pytest

from bench.fleet_receiver import Answer, Load, deliveries, memory, signature, table


@pytest.mark.parametrize("make", [signature, memory], ids=["signature", "memory"])
def test_a_receiver_takes_the_deliveries_and_refuses_others(make: Callable[[], Answer]) -> None:
    answer = make()
    for headers, body in deliveries(range(1, 3)):
        assert answer(headers, body) == 200
        assert answer({**headers, "x-hub-signature-256": "sha256=0"}, body) == 401
        assert answer(headers, body + b" ") == 401


def test_ratios_are_to_the_baseline_of_the_same_run() -> None:
    made = table({"signature": Load(100, 1000.0, 1.0, 2.0), "memory": Load(100, 250.0, 4.0, 6.0)})
    assert [list(column.cells) for column in made.columns][3:7:3] == [["1.00", "0.25"], ["1.0", "3.0"]]
