import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.chart.changed import changed_charts, find_changed
from pavedpath_delivery.kit.errors import DeliveryError, Exit

NAMES = [f"charts/{letter}" for letter in "abcdef"]
graphs = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), min_size=1)
touched_files = st.sets(st.sampled_from([f"{name}/values.yaml" for name in NAMES] + ["README.md", "charts/ab/x"]))


@given(graphs, touched_files)
def test_a_chart_changed_exactly_if_it_reaches_one_whose_files_did(
    charts: dict[str, set[str]], files: set[str]
) -> None:
    def reaches(chart: str, seen: frozenset[str]) -> bool:
        if f"{chart}/values.yaml" in files and chart in charts:
            return True
        return any(reaches(part, seen | {part}) for part in charts.get(chart, set()) - seen)

    assert changed_charts(charts, files) == sorted(each for each in charts if reaches(each, frozenset({each})))


def test_a_folder_whose_name_begins_the_same_is_another() -> None:
    assert changed_charts({"charts/web": (), "charts/web-api": ()}, ["charts/web-api/values.yaml"]) == [
        "charts/web-api"
    ]


Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository with two charts and a library that one of them is made of; commits everything at each call."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "x")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "x@example.com")
    root = tmp_path / "repo"
    root.mkdir()

    def call(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    call("init", "-b", "main")
    chart(root / "charts/web", 'dependencies: [{name: lib, version: 1.0.0, repository: "file://../../libs/lib"}]')
    chart(root / "charts/job")
    chart(root / "libs/lib")
    (root / "README.md").write_text("x")
    commit(call)
    return call


def chart(folder: Path, more: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {folder.name}\nversion: 0.1.0\n{more}\n")


def commit(git: Git) -> str:
    git("add", "-A")
    git("commit", "-m", "x")
    return git("rev-parse", "HEAD")


def find(tmp_path: Path, since: str, *directories: str) -> list[str]:
    return list(find_changed(since, [Path(each) for each in directories or ("charts",)], tmp_path / "repo").charts)


def test_its_own_files_and_those_of_a_local_dependency_count(git: Git, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    assert find(tmp_path, "HEAD") == []
    (root / "README.md").write_text("y")
    (root / "charts/job/values.yaml").write_text("")
    commit(git)
    assert find(tmp_path, "HEAD~1") == ["charts/job"]
    (root / "libs/lib/values.yaml").write_text("")
    commit(git)
    assert find(tmp_path, "HEAD~1") == ["charts/web"]
    assert find(tmp_path, "HEAD~2") == ["charts/job", "charts/web"]
    assert find(tmp_path, "HEAD~1", "charts", "libs") == ["charts/web", "libs/lib"]


def test_names_that_git_would_quote(git: Git, tmp_path: Path) -> None:
    chart(tmp_path / "repo/charts/gärung")
    commit(git)
    assert find(tmp_path, "HEAD~1") == ["charts/gärung"]


def test_a_chart_that_moved_away_changed_where_it_still_is(git: Git, tmp_path: Path) -> None:
    git("mv", "charts/job", "charts/task")
    commit(git)
    assert find(tmp_path, "HEAD~1") == ["charts/task"]
    git("rm", "-rq", "charts/task")
    commit(git)
    assert find(tmp_path, "HEAD~1") == []


def test_a_file_that_moves_changes_both_charts(git: Git, tmp_path: Path) -> None:
    (tmp_path / "repo/charts/job/values.yaml").write_text("a: 1\n" * 20)
    commit(git)
    git("mv", "charts/job/values.yaml", "charts/web/values.yaml")
    commit(git)
    assert find(tmp_path, "HEAD~1") == ["charts/job", "charts/web"]


def test_what_the_other_branch_did_since_is_no_change_of_this_one(git: Git, tmp_path: Path) -> None:
    git("checkout", "-qb", "feature")
    (tmp_path / "repo/charts/job/values.yaml").write_text("")
    commit(git)
    git("checkout", "-q", "main")
    (tmp_path / "repo/charts/web/values.yaml").write_text("")
    commit(git)
    git("checkout", "-q", "feature")
    assert find(tmp_path, "main") == ["charts/job"]


def test_before_the_first_push_of_a_branch_all_are_new(git: Git, tmp_path: Path) -> None:
    found = find_changed("0" * 40, [Path("charts")], tmp_path / "repo")
    assert json.loads(found.outputs()["charts"]) == ["charts/job", "charts/web"]
    assert found.outputs()["any"] == "true"


def test_nothing_is_an_empty_matrix_and_says_so(git: Git, tmp_path: Path) -> None:
    found = find_changed("HEAD", [Path("charts")], tmp_path / "repo")
    assert found.outputs() == {"charts": "[]", "any": "false"}
    assert found.document()["unchanged"] == ["charts/job", "charts/web"]


def test_from_a_folder_inside(git: Git, tmp_path: Path) -> None:
    inside = tmp_path / "repo/libs"
    assert list(find_changed("0" * 40, [Path("../charts"), Path()], inside).charts) == [
        "../charts/job",
        "../charts/web",
        "lib",
    ]


@pytest.mark.parametrize("since", ["nowhere", "--output=/tmp/x", "main:charts"])
def test_an_unknown_commit_is_an_error(git: Git, tmp_path: Path, since: str) -> None:
    with pytest.raises(DeliveryError, match="no such commit") as caught:
        find(tmp_path, since)
    assert caught.value.code is Exit.USAGE


def test_a_shallow_clone_is_an_error_with_its_fix(git: Git, tmp_path: Path) -> None:
    (tmp_path / "repo/README.md").write_text("y")
    commit(git)
    source = f"file://{tmp_path / 'repo'}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", source, str(tmp_path / "shallow")], check=True)
    with pytest.raises(DeliveryError, match="fetch-depth: 0"):
        find_changed("HEAD", [Path("charts")], tmp_path / "shallow")


def test_no_repository_and_no_folder(git: Git, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DeliveryError, match="no git repository"):
        find_changed("HEAD", [Path("charts")], tmp_path / "elsewhere")
    with pytest.raises(DeliveryError, match=r"no folder .*nothing.*void"):
        find(tmp_path, "HEAD", "charts", "nothing", "void")


def test_all_charts_that_cannot_be_read_are_named(git: Git, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    (root / "charts/web/Chart.yaml").write_text("a: [")
    chart(root / "charts/job", "dependencies: [{name: x, version: 1.0.0, repository: 'file://../gone'}]")
    chart(root / "charts/far", "dependencies: [{name: x, version: 1.0.0, repository: 'file://../../../outside'}]")
    with pytest.raises(DeliveryError) as caught:
        find(tmp_path, "HEAD")
    for part in ("charts/web", "charts/gone", "outside the repository"):
        assert part in str(caught.value)
