"""A tag's digest."""

import pytest
from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.images.resolve import resolve
from pavedpath_delivery.kit.errors import DeliveryError, Exit

from tests.unit.delivery.images.fake_registry import HOST, FakeRegistry, put_image

IMAGE = f"{HOST}/acme/api"


def test_it_is_what_the_tag_names_now() -> None:
    fake = FakeRegistry()
    first, second = put_image(fake.at(IMAGE), "one"), put_image(fake.at(IMAGE), "two")
    for made in (first, second):
        fake.open(IMAGE).put_manifest(made, "dev")
        found = resolve(fake.open(IMAGE), Reference.parse(f"{IMAGE}:dev"))
        assert found.outputs() == {"image": f"{IMAGE}@{made.digest}", "digest": made.digest}
    by_digest = resolve(fake.open(IMAGE), Reference.parse(f"{IMAGE}@{first.digest}"))
    assert by_digest.digest == first.digest


def test_a_missing_one_fails_unless_it_need_not_be_there() -> None:
    fake = FakeRegistry()
    put_image(fake.at(IMAGE), "one")
    asked = Reference.parse(f"{IMAGE}:sha-000000000000")
    with pytest.raises(DeliveryError, match="sha-000000000000 is not there") as caught:
        resolve(fake.open(IMAGE), asked)
    assert caught.value.code is Exit.FAILED
    assert resolve(fake.open(IMAGE), asked, if_there=True).outputs() == {"image": "", "digest": ""}
