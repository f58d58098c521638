from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.release.notes import Commit, changelog, entries, notes


def commits(*messages: str) -> list[Commit]:
    return [Commit(f"{number:040x}", message) for number, message in enumerate(messages)]


def test_changes_are_grouped_by_kind_in_a_fixed_order() -> None:
    made = commits(
        "fix(api): answer 404 for what is gone",
        "chore: bump",
        "feat: orders can be cancelled (#12)\n\nSome words.",
        "tidy up",
        "perf(worker)!: read in batches\n\nBREAKING CHANGE: the queue's format changed",
        "feat(api)!: drop v1",
        "odd(x): not a kind",
        "docs: say how",
    )
    assert changelog(made, "v1.0.0") == (
        "## Breaking changes\n\n"
        "- **worker:** the queue's format changed (0000000)\n"
        "- **api:** drop v1 (0000000)\n\n"
        "## Features\n\n"
        "- orders can be cancelled (#12) (0000000)\n"
        "- **api:** drop v1 (0000000)\n\n"
        "## Fixes\n\n"
        "- **api:** answer 404 for what is gone (0000000)\n\n"
        "## Performance\n\n"
        "- **worker:** read in batches (0000000)\n\n"
        "## Documentation\n\n"
        "- say how (0000000)\n\n"
        "## Maintenance\n\n"
        "- bump (0000000)\n\n"
        "## Other changes\n\n"
        "- tidy up (0000000)\n"
        "- odd(x): not a kind (0000000)\n"
    )


def test_a_merge_says_nothing_of_its_own() -> None:
    assert changelog([Commit("a" * 40, "Merge pull request #1", parents=2)], "v1.0.0") == "No changes since v1.0.0.\n"
    assert changelog([], "") == "No changes.\n"


@given(st.lists(st.text(max_size=80)))
def test_no_commit_is_lost_and_none_is_told_twice(messages: list[str]) -> None:
    made = commits(*messages)
    plain = [entry for entry in entries(made) if entry.group != "Breaking changes"]
    assert len(plain) == len(made)


@given(st.lists(st.text(max_size=80)))
def test_nothing_becomes_html_or_calls_someone(messages: list[str]) -> None:
    shown = notes(changelog(commits(*messages), "")).replace("@<!-- -->", "")
    assert "<" not in shown
    assert "@" not in shown


def test_more_than_github_takes_is_cut_and_counted() -> None:
    made = commits(*[f"fix: {'x' * 200} {number}" for number in range(1000)])
    text = changelog(made, "")
    assert len(notes(text)) < 125_000
    shown = text.count("\n- x") - 0
    assert text.endswith(f"- and {1000 - shown} more\n")
