from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy.values import merge, no_images, place_images, same_places
from pavedpath_delivery.kit.errors import DeliveryError, Exit

DIGEST = "sha256:" + "c" * 64
PINNED = f"r.example:5000/shop/api@{DIGEST}"
REPOSITORY = "r.example:5000/shop/api"


@pytest.mark.parametrize(
    ("values", "name", "placed"),
    [
        (
            {"image": {"repository": "x", "tag": "", "digest": ""}},
            "image",
            {"image": {"repository": REPOSITORY, "tag": "", "digest": DIGEST}},
        ),
        (
            {"api": {"image": {"repository": "x", "digest": ""}}},
            "api",
            {"api": {"image": {"repository": REPOSITORY, "tag": "", "digest": DIGEST}}},
        ),
        ({"services": {"api": {"image": "x"}}}, "services.api", {"services": {"api": {"image": PINNED}}}),
        ({"images": {"api": "x"}}, "api", {"images": {"api": PINNED}}),
        ({"apiImage": "x"}, "api", {"apiImage": PINNED}),
        (
            {"api": {"repository": "x", "tag": "1"}},
            "api",
            {"api": {"repository": REPOSITORY, "tag": f"pinned@{DIGEST}"}},
        ),
        (
            {"image": {"registry": "docker.io", "repository": "x", "digest": ""}},
            "image",
            {
                "image": {
                    "registry": "r.example:5000",
                    "repository": "shop/api",
                    "tag": "",
                    "digest": DIGEST,
                }
            },
        ),
    ],
)
def test_an_image_is_put_where_the_chart_has_it(values: dict[str, Any], name: str, placed: dict[str, Any]) -> None:
    assert place_images(values, [f"{name}={PINNED}"]) == placed


def test_every_image_without_a_place_is_named() -> None:
    with pytest.raises(DeliveryError) as refused:
        place_images({"image": "x"}, ["worker=r.example/w:1", "api=r.example/w:1"])
    assert refused.value.code is Exit.USAGE
    assert "no image worker" in str(refused.value)
    assert "no image api" in str(refused.value)
    assert "use one of its images: image" in str(refused.value)


def test_what_is_no_image_is_told_without_a_chart() -> None:
    wrong = ["image=r.example/UPPER:1", "image=r.example/x", "alone", "=r.example/x:1", "image="]
    told = no_images([*wrong, f"image={PINNED}", "worker=r.example/w:1"])
    assert [each.partition(": no NAME=IMAGE@sha256")[0] for each in told] == [f"--image {each}" for each in wrong]


def test_two_services_of_one_chart() -> None:
    values = {"api": {"image": {"repository": "", "digest": ""}}, "worker": {"image": "x"}}
    placed = place_images(values, [f"api={PINNED}", "worker=r.example/w:v1"])
    assert placed["api"]["image"]["digest"] == DIGEST
    assert placed["worker"] == {"image": "r.example/w:v1"}


_TREES = st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner))
_MAPPINGS = st.dictionaries(st.sampled_from("abc"), _TREES)


@given(_MAPPINGS, _MAPPINGS, _MAPPINGS)
def test_laying_over(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    assert merge(a, {}) == merge({}, a) == merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)
    assert list(same_places(merge(a, c), c)) == list(same_places(c, c))
