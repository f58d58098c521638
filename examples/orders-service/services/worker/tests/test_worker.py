from services.worker.worker import Order, total, work


def test_the_total_of_orders() -> None:
    assert total([Order(1, 2, 150), Order(2, 1, 99)]) == 399
    assert total([]) == 0


def test_it_works_until_it_is_stopped() -> None:
    waits: list[float] = []
    assert work(lambda: len(waits) == 3, waits.append, 1.0) == 3
    assert waits == [1.0, 1.0, 1.0]
