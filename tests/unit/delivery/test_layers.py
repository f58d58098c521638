from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.layers import Layer, fit, layers

ENTRIES = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=12)
LAYERS = st.lists(st.builds(Layer, st.just("dev"), st.text(max_size=3), ENTRIES.map(tuple)), max_size=6)


@given(LAYERS, st.integers(0, 40))
def test_what_fits_is_shown_and_what_does_not_is_counted(found: list[Layer], height: int) -> None:
    def lines(value: str) -> int:
        return max(len(value), 1)

    shown, left_out = fit(found, height, lines)
    assert sum(len(layer.entries) for layer in found) - sum(len(layer.entries) for layer in shown) == left_out
    tall = sum(lines(value) for layer in shown for _, value in layer.entries)
    assert tall <= height or all(len(layer.entries) == 1 for layer in shown)
    assert [layer.name for layer in shown] == [layer.name for layer in found]
    assert all(long.entries[: len(short.entries)] == short.entries for long, short in zip(found, shown, strict=True))


def test_outputs_become_layers() -> None:
    found = layers(
        "dev", {"network": {"vpc": "vpc-1", "subnets": ["a", "b"], "public": True}, "url": "x", "none": None}
    )
    assert found == [
        Layer("dev", "network", (("vpc", "vpc-1"), ("subnets", "a, b"), ("public", "yes"))),
        Layer("dev", "outputs", (("url", "x"), ("none", "-"))),
    ]
