"""The rules for tags, and that the library and the command have the same."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath import image_tags
from pavedpath_delivery.cli import app
from pavedpath_delivery.images.references import TAG
from pavedpath_delivery.images.tags import Push, branch_tag, git_tags, tag_images, tags_for
from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from typer.testing import CliRunner

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
IMAGES = ["ghcr.io/acme/orders/api", "ghcr.io/acme/orders/worker"]

version_tags = st.from_regex(r"v[0-9]{1,2}\.[0-9]{1,2}\.[0-9](-(rc|[0-9]|-)(\.[0-9a-z]{1,2})?)?", fullmatch=True)
words = st.text(alphabet="abv012./-+", max_size=12)
refs = st.one_of(
    version_tags.map("refs/tags/{}".format),
    words.map("refs/tags/{}".format),
    st.sampled_from(["main", "trunk", "dev", "v1.2.3"]).map("refs/heads/{}".format),
    st.sampled_from(["refs/pull/7/merge", "v1.2.3", "main", ""]),
)
commits = st.sampled_from([COMMIT, COMMIT + "0" * 24, COMMIT[:7], COMMIT.upper(), ""])


@given(refs, commits, st.sampled_from(["main", "trunk"]), st.lists(version_tags | words, max_size=5))
def test_the_library_and_the_command_have_one_rule_set(ref: str, commit: str, branch: str, released: list[str]) -> None:
    try:
        theirs = image_tags(ref, commit, default_branch=branch, released=released)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            tags_for(ref, commit, default_branch=branch, released=released)
        return
    ours = tags_for(ref, commit, default_branch=branch, released=released)
    assert (ours.fixed, ours.moving) == (theirs.fixed, theirs.moving)


@given(st.text(min_size=1, max_size=200))
def test_a_branch_never_takes_a_tag_of_another_rule(branch: str) -> None:
    tag = branch_tag(branch)
    assert TAG.fullmatch(tag)
    assert tag not in ("latest", "dev")
    assert not tag.startswith(("sha-", "sha256-"))
    assert Version.parse(tag) is None
    assert branch_tag(branch) == tag


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("feature/tax rules", "feature-tax-rules"),
        ("fix_1.2", "fix_1.2"),
        ("latest", "branch-latest"),
        ("dev", "branch-dev"),
        ("v1.2.3", "branch-v1.2.3"),
        ("sha-0123456789ab", "branch-sha-0123456789ab"),
        (".hidden", "hidden"),
    ],
)
def test_branches_as_tags(branch: str, tag: str) -> None:
    assert branch_tag(branch) == tag


def test_long_branches_differ_in_their_ends() -> None:
    one, two = branch_tag("x" * 200), branch_tag("x" * 201)
    assert one != two
    assert len(one) == len(two) == 128


def test_a_pull_request_gets_its_branch_under_either_trigger() -> None:
    for ref in ("refs/pull/7/merge", "refs/heads/main"):  # the latter under pull_request_target
        assert tags_for(ref, COMMIT, head_ref="feature/tax").all == ("feature-tax",)


@pytest.mark.parametrize(
    ("asked", "head", "pushed"),
    [
        (False, "acme/orders", False),
        (True, "acme/orders", True),
        (True, "Acme/Orders", True),
        (True, "eve/orders", False),
        (True, "", False),
    ],
)
def test_a_pull_request_is_pushed_only_if_asked_and_never_from_a_fork(asked: bool, head: str, pushed: bool) -> None:
    push = Push(
        "refs/pull/7/merge", COMMIT, "tax", pushes_branches=asked, repository="acme/orders", head_repository=head
    )
    answer = tag_images(IMAGES, push, [], Path())
    assert answer.push is pushed
    assert answer.references == [f"{image}:tax" for image in IMAGES]


def test_nothing_is_a_fork_of_nothing() -> None:
    assert not Push("refs/pull/7/merge", COMMIT, "tax", pushes_branches=True).trusted


def test_every_argument_that_cannot_be_used_is_named() -> None:
    with pytest.raises(DeliveryError) as error:
        tag_images(["ghcr.io/acme/api:v1", "a b"], Push("refs/pull/7/merge", "0123"), None, Path())
    assert error.value.code is Exit.USAGE
    for said in ("ghcr.io/acme/api:v1", "'a b'", "--commit '0123'", "--head-ref"):
        assert said in str(error.value)


def test_outputs_as_a_workflow_reads_them(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    arguments = ["image", "tags", "ghcr.io/Acme/Orders", "--ref", "refs/tags/v1.2.3", "--commit", COMMIT]
    done = CliRunner().invoke(
        app, [*arguments, "--released", "v1.2.2", "--output", "json"], env={"GITHUB_OUTPUT": str(outputs)}
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tags"] == [
        f"ghcr.io/acme/orders:{tag}" for tag in ("sha-0123456789ab", "v1.2.3", "latest")
    ]
    text = outputs.read_text()
    assert "version=v1.2.3\n" in text
    assert "push=true\n" in text
    assert re.search(r"tags<<(\S+)\n(ghcr\.io/acme/orders:\S+\n){3}\1\n", text)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init")
    for tag in ("v1.9.0", "v2.0.0", "v1.9.1"):
        git(folder, "commit", "--allow-empty", "-m", tag)
        git(folder, "tag", tag)
    return folder


def test_the_checkout_knows_what_is_released(checkout: Path) -> None:
    def moving(version: str) -> tuple[str, ...]:
        return tag_images(IMAGES, Push(f"refs/tags/{version}", COMMIT), None, checkout).tags.moving

    assert moving("v1.9.1") == ()
    assert moving("v2.0.0") == ("latest",)


def test_a_shallow_checkout_does_not_move_latest_backwards(checkout: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--depth", "1", "--branch", "v1.9.1", "--single-branch", f"file://{checkout}", "shallow")
    with pytest.raises(DeliveryError, match="fetch-depth: 0"):
        tag_images(IMAGES, Push("refs/tags/v1.9.1", COMMIT), None, shallow)
    assert tag_images(IMAGES, Push("refs/tags/v1.9.1-rc.1", COMMIT), None, shallow).tags.version == "v1.9.1-rc.1"
    version = Version.parse("v1.9.1")
    assert version
    git(shallow, "fetch", "--tags", "--depth", "1")
    assert "v2.0.0" in git_tags(shallow, version)


def test_without_a_checkout_the_releases_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="--released"):
        tag_images(IMAGES, Push("refs/tags/v1.0.0", COMMIT), None, tmp_path)
