from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.release.rules import Facts, Tag, is_latest, previous, problems

COMMIT, OTHER = "a" * 40, "b" * 40
FINE = Facts(COMMIT, "main", on_branch=True, versions=[], tag=None, missing=[])


def v(text: str) -> Version:
    found = Version.parse(text)
    assert found is not None, text
    return found


def vs(*texts: str) -> list[Version]:
    return [v(each) for each in texts]


small = st.integers(0, 2)
versions = st.builds(Version, st.tuples(small, small, small), st.sampled_from(["", "", "rc.1", "rc.2"]))


@pytest.mark.parametrize(
    ("version", "there", "hotfix"),
    [
        ("v0.1.0", [], False),
        ("v1.2.4", ["v1.2.3", "v1.3.0-rc.1"], False),
        ("v1.3.0", ["v1.2.3", "v1.3.0-rc.1"], False),
        ("v1.3.0-rc.2", ["v1.2.3", "v1.3.0-rc.1"], False),
        ("v1.2.4", ["v1.2.3", "v2.0.0"], True),
        ("v1.2.4-rc.1", ["v1.2.3", "v2.0.0"], True),
    ],
)
def test_what_comes_next(version: str, there: list[str], hotfix: bool) -> None:
    assert problems(v(version), replace(FINE, versions=vs(*there)), hotfix=hotfix) == []


@pytest.mark.parametrize(
    ("version", "there", "hotfix", "says"),
    [
        ("v1.2.4", ["v1.2.3", "v2.0.0"], False, "does not come after v2.0.0.*--hotfix if an older line"),
        ("v1.2.3-rc.1", ["v1.2.3"], False, "does not come after v1.2.3"),
        ("v1.3.0-rc.1", ["v1.3.0-rc.2"], False, "does not come after v1.3.0-rc.2"),
        ("v1.2.2", ["v1.2.3", "v2.0.0"], True, "does not come after v1.2.3"),
        ("v1.1.1", ["v1.2.3", "v2.0.0"], True, "nothing of v1.1 was released"),
        ("v1.1.1", ["v1.1.0-rc.1", "v2.0.0"], True, "nothing of v1.1 was released"),
    ],
)
def test_what_does_not(version: str, there: list[str], hotfix: bool, says: str) -> None:
    import re

    (found,) = problems(v(version), replace(FINE, versions=vs(*there)), hotfix=hotfix)
    assert re.search(says, found)


@given(versions, st.sets(versions))
def test_only_what_is_above_every_release_is_let_through_without_hotfix(version: Version, there: set[Version]) -> None:
    others = there - {version}
    allowed = problems(version, replace(FINE, versions=sorted(others)), hotfix=False) == []
    counted = {each for each in others if version.prerelease or not each.prerelease}
    assert allowed == all(version > each for each in counted)


@given(versions, st.sets(versions))
def test_what_came_before_is_the_highest_below(version: Version, there: set[Version]) -> None:
    found = previous(version, there)
    below = {each for each in there if each < version and (version.prerelease or not each.prerelease)}
    assert found == max(below, default=None)


@given(versions, st.sets(versions))
def test_the_latest_is_never_a_prerelease_nor_an_older_line(version: Version, there: set[Version]) -> None:
    others = there - {version}
    if is_latest(version, others):
        assert not version.prerelease
        assert max({each for each in {version, *others} if not each.prerelease}) == version
    else:
        assert version.prerelease or any(each > version and not each.prerelease for each in others)


def test_every_reason_is_told_at_once() -> None:
    facts = replace(FINE, on_branch=False, versions=vs("v9.0.0"), missing=["example.com/api:sha-x"])
    found = problems(v("v1.0.0"), facts, hotfix=False)
    assert len(found) == 3
    for each, part in zip(found, ("not on main", "v9.0.0", "example.com/api:sha-x"), strict=True):
        assert part in each
        assert "Fix: " in each


def test_a_tag_that_is_there_is_finished_or_refused_whatever_came_since() -> None:
    facts = replace(FINE, versions=vs("v9.0.0"), tag=Tag(COMMIT, annotated=True))
    assert problems(v("v1.0.0"), facts, hotfix=False) == []
    (moved,) = problems(v("v1.0.0"), replace(facts, tag=Tag(OTHER, annotated=True)), hotfix=False)
    assert "never moves" in moved
    (light,) = problems(v("v1.0.0"), replace(facts, tag=Tag(COMMIT, annotated=False)), hotfix=False)
    assert "not annotated" in light
