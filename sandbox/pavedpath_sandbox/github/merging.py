"""Merging: of a pull request by one of GitHub's three methods, and of one branch into another."""

from dataclasses import dataclass

from dulwich.objects import Commit

from pavedpath_sandbox.github import deployments
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.checks import checks_of
from pavedpath_sandbox.github.errors import GitHubError
from pavedpath_sandbox.github.gitdata import Git, Signature
from pavedpath_sandbox.github.protection import rulesets_on
from pavedpath_sandbox.github.pullrequests import close, ends, merge_facts, tell
from pavedpath_sandbox.github.refs import move
from pavedpath_sandbox.github.render import owner_of
from pavedpath_sandbox.github.rules import Update, violations
from pavedpath_sandbox.github.signatures import author_of, web_flow
from pavedpath_sandbox.github.store import Record
from pavedpath_sandbox.github.threeway import merge_base, merge_trees

METHODS = {"merge": "allow_merge_commit", "squash": "allow_squash_merge", "rebase": "allow_rebase_merge"}
"""Merge methods and the repository's settings that allow them."""
_WORDS = {"merge": "Merge commits", "squash": "Squash merges", "rebase": "Rebase merges"}


@dataclass(frozen=True)
class Wanted:
    """How a pull request is to be merged; None is GitHub's default."""

    method: str
    title: str | None
    message: str | None


def merged_tree(git: Git, ours: str, theirs: str) -> str | None:
    """The tree of two merged commits, None if they conflict or have nothing in common."""
    shared = merge_base(git, ours, theirs)
    if shared is None:
        return None
    trees = [git.commit(sha).tree.decode() for sha in (shared, ours, theirs)]
    return merge_trees(git, *trees)


def merge_into(call: Call, owner: Record, branch: str, other: str, message: str) -> str | None:
    """Merge a commit into a branch as the user; returns the branch's commit, None if they conflict."""
    git = Git(call.store, owner)
    tip = call.need(git.ref(f"refs/heads/{branch}"))["sha"]
    if git.is_ancestor(other, tip):
        return tip
    tree = merged_tree(git, tip, other)
    if tree is None:
        return None
    sha = git.write_commit(tree, [tip, other], message, author_of(call, None), web_flow(call))
    move(call, owner, f"refs/heads/{branch}", sha)
    return sha


def commits_of(git: Git, base: str, head: str) -> list[Commit]:
    """Commits that a head has and a base has not, oldest first."""
    known = {commit.id for commit in git.history(base)}
    return [commit for commit in git.history(head) if commit.id not in known][::-1]


def _signature(raw: bytes, seconds: int) -> Signature:
    name, _, email = raw.decode(errors="replace").rpartition(" <")
    return Signature(name, email.removesuffix(">"), seconds)


def _subject(commit: Commit) -> str:
    return commit.message.decode(errors="replace").split("\n", 1)[0]


def _squash_text(owner: Record, pull: Record, commits: list[Commit], wanted: Wanted) -> str:
    one = len(commits) == 1 and owner["squash_merge_commit_title"] == "COMMIT_OR_PR_TITLE"
    title = wanted.title or f"{_subject(commits[0]) if one else pull['title']} (#{pull['number']})"
    messages = {
        "COMMIT_MESSAGES": "" if len(commits) == 1 else "\n\n".join(f"* {_subject(commit)}" for commit in commits),
        "PR_BODY": pull["body"] or "",
        "BLANK": "",
    }
    body = messages[owner["squash_merge_commit_message"]] if wanted.message is None else wanted.message
    return f"{title}\n\n{body}" if body else title


def _merge_text(call: Call, owner: Record, pull: Record, wanted: Wanted) -> str:
    source = f"{owner_of(call, owner)['login']}/{pull['head']}"
    usual = f"Merge pull request #{pull['number']} from {source}"
    default = pull["title"] if owner["merge_commit_title"] == "PR_TITLE" else usual
    messages = {"PR_TITLE": pull["title"], "PR_BODY": pull["body"] or "", "BLANK": ""}
    body = messages[owner["merge_commit_message"]] if wanted.message is None else wanted.message
    return f"{wanted.title or default}\n\n{body}" if body else wanted.title or default


def _rebased(call: Call, git: Git, base: str, commits: list[Commit]) -> str | None:
    tip, me = base, author_of(call, None)
    for commit in commits:
        if len(commit.parents) > 1:
            continue  # as git rebase does, merges are left out
        before = git.commit(commit.parents[0].decode()).tree.decode() if commit.parents else None
        tree = merge_trees(git, before, git.commit(tip).tree.decode(), commit.tree.decode())
        if tree is None:
            return None
        author = _signature(commit.author, commit.author_time)
        tip = git.write_commit(tree, [tip], commit.message.decode(errors="replace"), author, me)
    return tip


def _written(call: Call, owner: Record, pull: Record, wanted: Wanted) -> str | None:
    """The commit that a merge comes to, None if there is a conflict."""
    git, (base, head) = Git(call.store, owner), ends(call, owner, pull)
    commits = commits_of(git, base, head)
    if wanted.method == "rebase":
        return _rebased(call, git, base, commits)
    tree = merged_tree(git, base, head)
    if tree is None:
        return None
    author = author_of(call, None)
    if wanted.method == "merge":
        return git.write_commit(tree, [base, head], _merge_text(call, owner, pull, wanted), author, web_flow(call))
    if commits:
        author = _signature(commits[0].author, author.seconds)
    return git.write_commit(tree, [base], _squash_text(owner, pull, commits, wanted), author, web_flow(call))


def merge(call: Call, owner: Record, pull: Record, wanted: Wanted) -> str:
    """Merge a pull request; returns the commit.

    Raises GitHubError 405 if its method, its state, a conflict or a rule that the user cannot bypass forbids it.
    """
    if not owner[METHODS[wanted.method]]:
        raise GitHubError(405, f"{_WORDS[wanted.method]} are not allowed on this repository.")
    if pull["state"] != "open":
        raise GitHubError(405, "Pull Request is not mergeable")
    if pull["draft"]:
        raise GitHubError(405, "Pull Request is still a draft")
    sha, facts = _written(call, owner, pull, wanted), merge_facts(call, owner, pull, wanted.method)
    if sha is None:
        raise GitHubError(405, "Pull Request is not mergeable")
    # Closed first, so that the move of its base does not close it again.
    pull = close(call, owner, pull, merged=sha)
    move(call, owner, f"refs/heads/{pull['base']}", sha, refusal=405, merge=facts, head=pull["head_sha"])
    tell(call, owner, pull, "closed")
    if owner["delete_branch_on_merge"]:
        _delete_head(call, owner, pull)
    return sha


def _delete_head(call: Call, owner: Record, pull: Record) -> None:
    ref = f"refs/heads/{pull['head']}"
    if pull["head"] == owner["default_branch"] or Git(call.store, owner).ref(ref) is None:
        return
    try:
        move(call, owner, ref, None)
    except GitHubError:
        return  # a rule keeps the branch; the merge stands


def mergeability(call: Call, owner: Record, pull: Record) -> tuple[bool | None, str]:
    """`mergeable` and `mergeable_state`; rules count even for who may bypass them."""
    if pull["state"] != "open":
        return None, "unknown"
    git, (base, head) = Git(call.store, owner), ends(call, owner, pull)
    if merged_tree(git, base, head) is None:
        return False, "dirty"
    if pull["draft"]:
        return True, "draft"
    ref = f"refs/heads/{pull['base']}"
    rules = [rule for ruleset in rulesets_on(call, owner, ref) for rule in ruleset["rules"]]
    checks = checks_of(call, owner, head)
    allowed = [method for method, setting in METHODS.items() if owner[setting]]
    reasons: list[str] = []
    for method in allowed:
        facts = merge_facts(call, owner, pull, method)
        update = Update(
            created=False,
            deleted=False,
            forced=False,
            commits=(),
            ref=ref,
            checks=checks,
            deployed=deployments.deployed(call, owner, head),
            merge=facts,
        )
        reasons = violations(rules, update)
        if not reasons:
            return True, "clean" if all(one.state == "success" for one in checks) else "unstable"
    behind = [reason for reason in reasons if "up to date" in reason]
    return True, "behind" if reasons and reasons == behind else "blocked"
