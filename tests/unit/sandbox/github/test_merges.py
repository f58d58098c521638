"""What merging is made of: three-way merges of trees, and who owns a file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pavedpath_sandbox.github.codeowners import owners_of, parse
from pavedpath_sandbox.github.gitdata import FILE_MODE, Git, Signature
from pavedpath_sandbox.github.store import Store
from pavedpath_sandbox.github.threeway import merge_base, merge_file, merge_trees

PATHS = ["a", "b", "d/x", "d/y"]
TREES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(["1\n", "2\n"]))


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    store = Store(Path(tmp_path_factory.mktemp("git"), "github.db"), lambda: 0.0)
    return Git(store, store.insert("repository", 0, "app", {}))


def tree(git: Git, files: dict[str, str]) -> str:
    root = git.write_tree({})
    for path, text in files.items():
        root = git.write_path(root, path, (FILE_MODE, git.write_blob(text.encode()))) or root
    return root


@settings(deadline=None)
@given(base=TREES, ours=TREES)
def test_one_side_alone_wins_and_both_the_same_agree(git: Git, base: dict[str, str], ours: dict[str, str]) -> None:
    before, after = tree(git, base), tree(git, ours)
    assert merge_trees(git, before, after, before) == after
    assert merge_trees(git, before, before, after) == after
    assert merge_trees(git, before, after, after) == after


@settings(deadline=None)
@given(base=TREES, ours=TREES, theirs=TREES)
def test_sides_commute(git: Git, base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]) -> None:
    trees = [tree(git, one) for one in (base, ours, theirs)]
    assert merge_trees(git, trees[0], trees[1], trees[2]) == merge_trees(git, trees[0], trees[2], trees[1])


def test_a_file_where_the_other_side_has_a_directory_conflicts(git: Git) -> None:
    before = tree(git, {"z": "1\n"})
    assert merge_trees(git, before, tree(git, {"z": "1\n", "p": "1\n"}), tree(git, {"z": "1\n", "p/q": "1\n"})) is None


def test_lines_are_merged_and_bytes_are_not(git: Git) -> None:
    base = b"".join(b"%d\n" % number for number in range(9))
    assert merge_file(base + b"end\n", base, b"start\n" + base) == b"start\n" + base + b"end\n"
    assert merge_file(b"x\n", b"y\n", b"z\n") is None
    binary = [git.write_path(None, "f", (FILE_MODE, git.write_blob(b"\0" + one))) for one in (b"1", b"2", b"3")]
    assert merge_trees(git, *[one or "" for one in binary]) is None


def test_the_best_common_ancestor_even_within_one_second(git: Git) -> None:
    me = Signature("a", "a@x", 0)

    def commit(text: str, *parents: str) -> str:
        return git.write_commit(tree(git, {"a": text}), list(parents), text, me, me)

    root = commit("root")
    first = commit("first", root)
    left, right = commit("left", root, first), commit("right", first)
    assert merge_base(git, left, right) == first
    assert merge_base(git, left, commit("alone")) is None


@pytest.mark.parametrize(
    ("pattern", "path", "owned"),
    [
        ("*", "a/b.txt", True),
        ("*.py", "a/b.py", True),
        ("/a/", "a/b/c", True),
        ("/a/", "x/a/c", False),
        ("a/", "x/a/c", True),
        ("docs/*", "docs/a", True),
        ("docs/*", "docs/a/b", False),
        ("/etc/helm_values", "etc/helm_values/app/prod.yaml", True),
        ("**/logs", "a/b/logs/x", True),
        ("Makefile", "a/Makefile", True),
        ("/Makefile", "a/Makefile", False),
    ],
)
def test_which_files_a_pattern_of_code_owners_means(pattern: str, path: str, owned: bool) -> None:
    assert bool(owners_of(parse(f"{pattern} @me"), path)) is owned


def test_the_last_line_decides_and_may_name_nobody() -> None:
    lines = parse("# all\n* @acme/all\n/src/ @dev @ops # comment\n/src/free\n")
    assert owners_of(lines, "x") == ("@acme/all",)
    assert owners_of(lines, "src/x") == ("@dev", "@ops")
    assert owners_of(lines, "src/free") == ()
