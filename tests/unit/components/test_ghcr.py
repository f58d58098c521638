import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath import GhcrPackage, InvalidArgumentsError, image_tags
from pavedpath.names import ORGANIZATION, REPOSITORY

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHORT = "sha-0123456789ab"
# Source: OCI distribution specification, "Pull": <name> and <reference>.
NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"

releases = st.tuples(*[st.integers(0, 30)] * 3)


def tag_of(version: tuple[int, int, int]) -> str:
    return "v" + ".".join(map(str, version))


@given(
    st.from_regex(ORGANIZATION.pattern, fullmatch=True),
    st.from_regex(REPOSITORY.pattern, fullmatch=True),
    st.text(max_size=20),
)
def test_what_is_not_refused_is_a_name_that_registries_take(owner: str, repository: str, name: str) -> None:
    try:
        package = GhcrPackage(owner, repository, name)
    except InvalidArgumentsError:
        return
    assert re.fullmatch(rf"ghcr\.io/{NAME}", package.image)
    assert package.image.count("/") >= (3 if name else 2)


def test_an_image_of_several_and_the_only_one() -> None:
    assert GhcrPackage("Acme", "StoreFront", "Api").reference("dev") == "ghcr.io/acme/storefront/api:dev"
    assert GhcrPackage("Acme", "StoreFront").image == "ghcr.io/acme/storefront"


def test_labels_link_the_package_to_its_repository_in_its_own_case() -> None:
    labels = GhcrPackage("Acme", "StoreFront", "api").labels(COMMIT, "v1.2.3")
    assert labels == {
        "org.opencontainers.image.source": "https://github.com/Acme/StoreFront",
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.title": "api",
        "org.opencontainers.image.version": "v1.2.3",
    }
    assert "org.opencontainers.image.version" not in GhcrPackage("acme", "shop").labels(COMMIT)


def test_only_the_pusher_may_write() -> None:
    package = GhcrPackage("acme", "shop")
    assert package.push_permissions == {"contents": "read", "packages": "write"}
    assert package.pull_permissions == {"packages": "read"}


def test_every_part_that_is_refused_is_named() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        GhcrPackage("-acme", "a/b", "api:dev")
    assert [problem.argument for problem in caught.value.problems] == ["owner", "repository", "name"]


@pytest.mark.parametrize("repository", ["shop.", "-shop", "a..b", "_"])
def test_a_repository_that_github_takes_and_a_registry_does_not(repository: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="a registry refuses this name"):
        GhcrPackage("acme", repository)


@pytest.mark.parametrize(
    ("ref", "fixed", "moving"),
    [
        ("refs/heads/main", (SHORT,), ("dev",)),
        ("refs/tags/v1.2.3", (SHORT, "v1.2.3"), ("latest",)),
        ("refs/tags/v1.2.3-rc.1", (SHORT, "v1.2.3-rc.1"), ()),
        ("refs/heads/feature", (), ()),
        ("refs/heads/v1.2.3", (), ()),  # a branch that is called like a version is none
        ("refs/pull/7/merge", (), ()),
        ("refs/tags/1.2.3", (), ()),
        ("refs/tags/v1.2", (), ()),
        ("refs/tags/v01.2.3", (), ()),
        ("refs/tags/v1.2.3-", (), ()),
        ("refs/tags/v1.2.3+build", (), ()),
        ("v1.2.3", (), ()),
    ],
)
def test_the_tags_of_a_push(ref: str, fixed: tuple[str, ...], moving: tuple[str, ...]) -> None:
    tags = image_tags(ref, COMMIT)
    assert (tags.fixed, tags.moving) == (fixed, moving)


def test_the_default_branch_has_a_name() -> None:
    assert image_tags("refs/heads/trunk", COMMIT, default_branch="trunk").moving == ("dev",)
    assert image_tags("refs/heads/main", COMMIT, default_branch="trunk").all == ()


@given(releases, st.lists(releases))
def test_latest_is_the_newest_release_and_never_goes_back(
    version: tuple[int, int, int], others: list[tuple[int, int, int]]
) -> None:
    released = [*map(tag_of, others), "nightly", f"{tag_of((99, 0, 0))}-rc.1"]
    tags = image_tags(f"refs/tags/{tag_of(version)}", COMMIT, released=released)
    assert ("latest" in tags.moving) == (version >= max(others, default=version))


@given(st.text(max_size=40), st.booleans())
def test_no_ref_gives_a_tag_that_registries_refuse(name: str, tagged: bool) -> None:
    tags = image_tags(f"refs/{'tags' if tagged else 'heads'}/{name}", COMMIT)
    assert all(re.fullmatch(TAG, tag) for tag in tags.all if len(tag) <= 128)
    assert not set(tags.fixed) & {"dev", "latest"}


@pytest.mark.parametrize("commit", ["", "0123456", COMMIT.upper(), f"{COMMIT}0"])
def test_a_commit_in_short_is_refused(commit: str) -> None:
    with pytest.raises(ValueError, match="not a full commit id"):
        image_tags("refs/heads/main", commit)
