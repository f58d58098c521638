from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.images.versions import Version, versions

tags = st.from_regex(r"v[0-9]{1,2}\.[0-9]\.[0-9](-[0-9a-z]{1,3}(\.[0-9a-z]{1,3})?)?", fullmatch=True)


def test_the_order_of_the_specification() -> None:
    # https://semver.org, "Precedence", its own example
    ordered = ["-alpha", "-alpha.1", "-alpha.beta", "-beta", "-beta.2", "-beta.11", "-rc.1", ""]
    assert [str(each) for each in reversed(versions(f"v1.0.0{each}" for each in ordered))] == [
        f"v1.0.0{each}" for each in ordered
    ]
    assert [str(each) for each in versions(["v2.0.0", "v1.10.0", "v1.9.0", "nightly", "1.0.0", "v01.0.0"])] == [
        "v2.0.0",
        "v1.10.0",
        "v1.9.0",
    ]


@given(st.lists(tags, min_size=2, max_size=6))
def test_an_order(names: list[str]) -> None:
    found = versions(names)
    assert all(older <= newer for newer, older in pairwise(found))
    assert all(Version.parse(str(each)) == each for each in found)
