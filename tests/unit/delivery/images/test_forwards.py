from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.images.forwards import Candidate, refusal
from pavedpath_delivery.images.versions import Version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
numbers = st.tuples(*[st.integers(0, 3)] * 3).map(Version)
versions = st.none() | numbers | numbers.map(lambda each: Version(each.numbers, "rc.1"))
candidates = st.builds(
    Candidate,
    st.sampled_from([ONE, TWO]),
    versions,
    st.none() | st.integers(0, 3).map(lambda day: NOW + timedelta(day)),
)


@given(st.sampled_from(["v1.2.3", "sha-0123456789ab", "anything"]), candidates, candidates)
def test_a_fixed_tag_never_moves(tag: str, wanted: Candidate, current: Candidate) -> None:
    assert bool(refusal(tag, wanted, current)) is (wanted.digest != current.digest)
    assert refusal(tag, wanted, None) == ""


@given(candidates, candidates, st.booleans())
def test_latest_names_releases_and_goes_forwards(wanted: Candidate, current: Candidate, adopt: bool) -> None:
    allowed = refusal("latest", wanted, current, adopt=adopt) == ""
    is_release = wanted.version is not None and not wanted.version.prerelease
    if not is_release:
        assert not allowed
    elif wanted.digest == current.digest:
        assert allowed
    elif current.version is None:
        assert allowed is adopt
    else:
        assert wanted.version
        assert allowed is (current.version <= wanted.version)


@given(st.lists(versions, min_size=2, max_size=8))
def test_latest_never_goes_back_whatever_is_asked(asked: list[Version | None]) -> None:
    current: Candidate | None = None
    seen: list[Version] = []
    for version in asked:
        wanted = Candidate(f"digest of {version}", version)
        if not refusal("latest", wanted, current):
            current = wanted
            assert version
            seen.append(version)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("wanted", "current", "said"),
    [
        (
            Candidate(ONE, recorded=NOW),
            Candidate(TWO, recorded=NOW + timedelta(1)),
            "recorded later (2026-01-02 00:00:00",
        ),
        (Candidate(ONE, recorded=NOW + timedelta(1)), Candidate(TWO, recorded=NOW), ""),
        (Candidate(ONE), Candidate(TWO, recorded=NOW), ""),
        (Candidate(ONE, Version((1, 0, 0)), NOW), Candidate(TWO, Version((2, 0, 0)), NOW - timedelta(1)), "v2.0.0"),
    ],
)
def test_dev_goes_by_version_and_otherwise_by_time(wanted: Candidate, current: Candidate, said: str) -> None:
    reason = refusal("dev", wanted, current)
    assert said in reason
    assert bool(reason) is bool(said)


def test_more_tags_may_move() -> None:
    assert refusal("edge", Candidate(ONE), Candidate(TWO), {"edge"}) == ""
