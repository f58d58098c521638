"""Strangers, injections, stored keys and tokens that start nothing: each rule with an attempt to break it."""

from dataclasses import replace

import pytest
from pavedpath.workflows.expressions import OF_THIS_REPOSITORY, Expression, event_is, output_of_step, secret
from pavedpath.workflows.model import (
    Access,
    Dispatch,
    Job,
    JobEnvironment,
    Matrix,
    PullRequest,
    Push,
    Run,
    Schedule,
    Scope,
    Step,
    Trigger,
    Uses,
    WorkflowRun,
)

from tests.unit.workflows.examples import CHECKOUT, Repository, repository, workflow

NOTIFY = Run(run="x", env={"URL": secret("NOTIFY_URL")})
SHELL = Run(run="x")


def checked(*steps: Step, **changes: object) -> Repository:
    return repository().with_job("ci.yml", "test", steps=list(steps), **changes)


def found(repository: Repository, what: str) -> list[str]:
    return [each for each in repository.problems() if what in each]


FORK = "a pull request from a fork"


class TestAFork:
    @pytest.mark.parametrize(
        "reached",
        [
            checked(NOTIFY),
            checked(SHELL, env={"URL": secret("NOTIFY_URL")}),
            checked(SHELL, runs_on=("self-hosted", "linux")),
            checked(SHELL, runs_on=("our-own",)),
            checked(SHELL, runs_on=("${{ vars.LOG_LEVEL }}",)),
            checked(Run(run="x", env={"ALL": Expression("toJSON(secrets)")})),
            checked(Run(run="x", env={"ONE": Expression("secrets[github.head_ref]")})),
            checked(NOTIFY, condition=event_is("pull_request")),
            checked(NOTIFY, condition=~OF_THIS_REPOSITORY),
            checked(NOTIFY, condition=OF_THIS_REPOSITORY | event_is("pull_request")),
            checked(Run(run="x", env={"URL": secret("NOTIFY_URL")}, condition=Expression("always()"))),
            repository().with_workflow("ci.yml", env={"URL": secret("NOTIFY_URL")}),
        ],
    )
    def test_that_reaches_something_is_a_problem(self, reached: Repository) -> None:
        assert found(reached, FORK)

    @pytest.mark.parametrize(
        "spared",
        [
            checked(NOTIFY, condition=OF_THIS_REPOSITORY),
            checked(NOTIFY, condition=event_is("push")),
            checked(NOTIFY, condition=Expression("github.event.pull_request.head.repo.fork == false")),
            checked(NOTIFY, condition=Expression("!github.event.pull_request.head.repo.fork")),
            checked(NOTIFY, condition=Expression("contains(fromJSON('[\"push\"]'), github.event_name)")),
            checked(NOTIFY, condition=event_is("push") | OF_THIS_REPOSITORY),
            checked(SHELL, runs_on=("self-hosted", "linux"), condition=OF_THIS_REPOSITORY),
            checked(Run(run="x", env={"URL": secret("NOTIFY_URL")}, condition=OF_THIS_REPOSITORY)),
            checked(SHELL).with_job("ci.yml", "lint", steps=[NOTIFY], needs=["test"], condition=event_is("push")),
        ],
    )
    def test_that_reaches_nothing_is_none(self, spared: Repository) -> None:
        assert spared.problems() == []

    def test_that_is_kept_out_of_a_job_is_kept_out_of_what_needs_it(self) -> None:
        kept = repository().with_job("ci.yml", "test", condition=OF_THIS_REPOSITORY)
        assert found(kept.with_job("ci.yml", "lint", steps=[NOTIFY]), FORK) == []
        always = kept.with_job("ci.yml", "lint", steps=[NOTIFY], condition=Expression("!cancelled()"))
        assert found(always, FORK)
        skipped = kept.with_job(
            "ci.yml", "lint", steps=[NOTIFY], condition=Expression("always() && needs.test.result == 'success'")
        )
        assert found(skipped, FORK) == []

    def test_may_not_reach_an_environment(self) -> None:
        assert found(checked(SHELL, environment=JobEnvironment(name="dev")), f"{FORK} reaches an environment")

    def test_cannot_be_let_in_by_pull_request_target(self) -> None:
        assert "pull_request_target" not in " ".join(kind.__name__.lower() for kind in Trigger.__args__)


class TestCodeOfAStranger:
    @pytest.mark.parametrize("where", ["ref", "repository"])
    def test_is_not_checked_out_where_there_are_secrets(self, where: str) -> None:
        head = Expression("github.event.workflow_run.head_sha")
        checkout = Uses(action="actions/checkout", inputs={"persist-credentials": False, where: head})
        started = checked(checkout).with_workflow("ci.yml", on=[PullRequest(), WorkflowRun(workflows=["deploy"])])
        assert found(started, "would run a stranger's code")


DOWNLOAD = Uses(
    action="actions/download-artifact", inputs={"run-id": Expression("github.event.workflow_run.id"), "path": "x"}
)


class TestFilesOfAStranger:
    """What a run of a pull request leaves is made by the request's code."""

    def after(self, step: Step, watched: str = "ci", **changes: object) -> Repository:
        started = WorkflowRun(workflows=[watched], branches=["main"])
        return (
            repository()
            .plus(workflow("after.yml", [started, Dispatch()], {"take": Job(steps=[SHELL])}))
            .with_job("after.yml", "take", steps=[step], **changes)
        )

    @pytest.mark.parametrize(
        ("step", "condition"),
        [
            (DOWNLOAD, None),
            (Run(run='gh run download "$RUN"'), None),
            (Run(run='gh api \\\n  "repos/x/y/actions/runs/$RUN/artifacts"'), None),
            # A stranger may call a branch main, and the run of a pull request may succeed.
            (DOWNLOAD, Expression("github.event.workflow_run.head_branch == 'main'")),
            (DOWNLOAD, Expression("github.event.workflow_run.conclusion == 'success'")),
            (DOWNLOAD, Expression("github.event.workflow_run.event == 'pull_request'")),
        ],
    )
    def test_are_not_taken_where_there_are_secrets(self, step: Step, condition: Expression | None) -> None:
        says = "it takes what a run of ci left, which a stranger's pull request can start"
        assert found(self.after(step, condition=condition), says)
        assert found(self.after(replace(step, condition=condition)), says)

    @pytest.mark.parametrize(
        "condition",
        [
            "github.event.workflow_run.event == 'push'",
            "github.event.workflow_run.event != 'pull_request'",
            "github.event.workflow_run.head_repository.full_name == github.repository",
            "!github.event.workflow_run.head_repository.fork",
            "github.event_name == 'workflow_dispatch'",
        ],
    )
    def test_of_others_are(self, condition: str) -> None:
        assert found(self.after(DOWNLOAD, condition=Expression(condition)), "it takes what") == []

    def test_of_a_workflow_without_pull_requests_are(self) -> None:
        assert found(self.after(DOWNLOAD, "deploy"), "it takes what") == []

    def test_of_its_own_run_are(self) -> None:
        own = Uses(action="actions/download-artifact", inputs={"path": "x"})
        assert found(self.after(own), "it takes what") == []


class TestAScript:
    @pytest.mark.parametrize(
        "text",
        [
            "github.head_ref",
            "github.ref_name",
            "github.event.pull_request.title",
            "github.event.head_commit.message",
            "github.actor",
            "env.X",
            "vars.LOG_LEVEL",
            "steps.a.outputs.b",
            "toJSON(github.event)",
            "github",
            "format('{0}', github.head_ref)",
        ],
    )
    def test_takes_nothing_that_others_set(self, text: str) -> None:
        step = Run(id="a", run="x", outputs=["b"], env={})
        broken = checked(step, Run(run=f"echo '${{{{ {text} }}}}'", env={"X": "x"}))
        assert found(broken, "would be pasted into the script")

    def test_takes_no_axis_that_is_computed(self) -> None:
        step = Run(run="pip install 'x==${{ matrix.version }}'")
        assert checked(step, matrix=Matrix(axes={"version": ["1", "2"]})).problems() == []
        computed = Matrix(axes={"version": Expression("fromJSON(vars.LOG_LEVEL)")})
        assert found(checked(step, matrix=computed), "would be pasted into the script")

    def test_takes_what_nobody_sets(self) -> None:
        assert checked(Run(run="echo ${{ github.sha }} ${{ runner.temp }} ${{ github.run_id }}")).problems() == []

    def test_of_an_action_is_one(self) -> None:
        step = Uses(action="actions/cache", inputs={"script": "x ${{ github.head_ref }}"})
        assert found(checked(step), "would be pasted into the script")

    def test_gets_it_by_the_environment(self) -> None:
        assert checked(Run(run='echo "$TITLE"', env={"TITLE": "${{ github.head_ref }}"})).problems() == []


KEY = "a key that is stored"


class TestTheCloud:
    @pytest.mark.parametrize(
        "broken",
        [
            checked(Run(run="x", env={"AWS_ACCESS_KEY_ID": "x"})),
            checked(SHELL, env={"AWS_SECRET_ACCESS_KEY": "x"}),
            repository().with_workflow("ci.yml", env={"AWS_SESSION_TOKEN": "x"}),
            checked(Run(run="x", env={"KEY": secret("AWS_SECRET_ACCESS_KEY")})),
            checked(Run(run="x", env={"KEY": "${{ vars.aws_access_key_id }}"})),
            checked(Uses(action="actions/cache", inputs={"credentials-json": "x"})),
            checked(Run(run="x", env={"KEY": secret("AZURE_CREDENTIALS")})),
            checked(Run(run="x", env={"KEY": secret("GCP_SA_KEY")})),
            checked(
                Uses(
                    action="aws-actions/configure-aws-credentials",
                    inputs={"role-to-assume": "x", "aws-access-key-id": "x"},
                )
            ),
        ],
    )
    def test_is_not_reached_by_stored_keys(self, broken: Repository) -> None:
        assert found(broken, KEY)

    def test_is_reached_by_a_role(self) -> None:
        action = "aws-actions/configure-aws-credentials"
        assert checked(Uses(action=action, inputs={"role-to-assume": "x"})).problems() == []
        assert found(checked(Uses(action=action, inputs={"aws-region": "x"})), "without a role it uses keys")


class TestTheToken:
    def test_is_not_left_in_the_checkout(self) -> None:
        assert found(checked(Uses(action="actions/checkout")), "the token would lie in .git")
        kept = Uses(action="actions/checkout", inputs={"persist-credentials": "false"})
        assert found(checked(kept), "the token would lie in .git")

    @pytest.mark.parametrize("token", ["secrets.GITHUB_TOKEN", "github.token", "secrets.github_token"])
    def test_is_given_to_nobody_who_may_do_nothing_with_it(self, token: str) -> None:
        step = Run(run="x", env={"GH_TOKEN": Expression(token)})
        assert found(checked(step), "it is given GITHUB_TOKEN, which may do nothing")
        may = Run(run="x", env={"GH_TOKEN": Expression(token)}, permissions={Scope.ISSUES: Access.WRITE})
        assert checked(may).problems() == []

    def test_writes_identities_and_reads_none(self) -> None:
        assert found(checked(Run(run="x", permissions={Scope.ID_TOKEN: Access.READ})), "only ever written")


def release(env: object, run: str = "git tag -a v1 && git push origin v1") -> Repository:
    step = Run(run=run, env=env, permissions={Scope.CONTENTS: Access.WRITE})  # pyright: ignore[reportArgumentType]  # the test's
    token = Uses(id="app", action="actions/create-github-app-token", outputs=["token"])
    return repository().with_job("deploy.yml", "merged", steps=[token, step])


class TestAPushByTheToken:
    TAGS = "tags that GITHUB_TOKEN pushes start no workflow, and deploy.yml waits for them"

    @pytest.mark.parametrize(
        "run",
        [
            "git tag -a v1 && git push origin v1",
            "git push --tags",
            "git -C repository \\\n  push --follow-tags",
            "gh release create v1",
            "pavedpath release v1",
            "pavedpath deploy x --dry-run\ngit push --tags",
            "git push --dry-run --tags && git push --tags",
        ],
    )
    def test_starts_nothing(self, run: str) -> None:
        assert found(release({"GH_TOKEN": secret("GITHUB_TOKEN")}, run), self.TAGS)
        assert found(release({"GH_TOKEN": Expression("github.token")}, run), self.TAGS)
        assert found(release({}, run), self.TAGS)

    def test_starts_nothing_where_another_step_made_the_tag(self) -> None:
        may = {Scope.CONTENTS: Access.WRITE}
        steps = [Run(run=each, permissions=may) for each in ("git tag v1", "git push origin v1")]
        pushed = repository().with_job("deploy.yml", "merged", steps=steps)
        assert found(pushed, "tags or branches that GITHUB_TOKEN pushes start no workflow, and ci.yml, deploy.yml")

    @pytest.mark.parametrize(
        "run", ["git describe --tags", "git fetch --tags", "git tag", "git tag -l 'v*' | tail -1", "gh release view v1"]
    )
    def test_is_none_of_a_tag_where_another_step_only_read_them(self, run: str) -> None:
        may = {Scope.CONTENTS: Access.WRITE}
        steps = [Run(run=each, permissions=may) for each in (run, "git push origin bump")]
        pushed = repository().with_job("deploy.yml", "merged", steps=steps)
        assert found(pushed, "branches that GITHUB_TOKEN pushes start no workflow")
        assert not found(pushed, "tags or branches")
        by_tags = pushed.with_workflow("ci.yml", on=[PullRequest()]).with_workflow("deploy.yml", on=[Push(tags=["v*"])])
        assert not found(by_tags, "start no workflow")

    def test_of_an_app_does(self) -> None:
        assert found(release({"GH_TOKEN": output_of_step("app", "token")}), "start no workflow") == []

    def test_of_a_branch_that_something_waits_for_starts_nothing_either(self) -> None:
        pushed = release({}, "git push origin main")
        assert found(pushed, "branches that GITHUB_TOKEN pushes start no workflow")

    def test_is_no_matter_where_nothing_waits(self) -> None:
        quiet = release({}).with_workflow("deploy.yml", on=[Push(branches=["main"])])
        assert found(quiet, "start no workflow") == []
        assert found(release({}, "pavedpath release v1 --dry-run"), "start no workflow") == []
        assert found(release({}, "git push \\\n  --tags --dry-run"), "start no workflow") == []


def test_other_triggers_reach_secrets() -> None:
    nightly = checked(NOTIFY, CHECKOUT, condition=event_is("schedule"))
    assert nightly.with_workflow("ci.yml", on=[PullRequest(), Schedule(cron="0 3 * * *")]).problems() == []
