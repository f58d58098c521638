"""Environments, locks, digests and ways back: each rule with an attempt to break it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pavedpath.workflows import APPROVERS
from pavedpath.workflows.checks import promotion_job
from pavedpath.workflows.expressions import (
    ALWAYS,
    FAILED,
    IS_DEFAULT_BRANCH,
    OF_THIS_REPOSITORY,
    Expression,
    event_is,
    github,
    given,
    matrix,
    outcome_of,
    output_of,
    output_of_step,
    secret,
    variable,
)
from pavedpath.workflows.model import (
    Access,
    Concurrency,
    Dispatch,
    EnvironmentFacts,
    Input,
    InputType,
    Job,
    JobEnvironment,
    Matrix,
    MergeGroup,
    PullRequest,
    Push,
    Run,
    Schedule,
    Scope,
    Step,
    Uses,
)

from tests.unit.workflows.examples import ANCESTRY, CHECKOUT, HISTORY, Repository, build_job, repository

DEV = JobEnvironment(name="dev")
LOCK = Concurrency(group="deploy-dev", queue=True)
SECRET = Run(run="x", env={"K": secret("KUBECONFIG")})
PROMOTION = promotion_job("main", ["deploy/prod"])
PROD = EnvironmentFacts(branches=["deploy/prod"], secrets=["KUBECONFIG"])


def found(repository: Repository, what: str) -> list[str]:
    return [each for each in repository.problems() if what in each]


def on(*triggers: object, **changes: Any) -> Repository:
    return repository().with_workflow("deploy.yml", on=triggers).with_job("deploy.yml", "deploy", **changes)


def guarded(found: Repository, job: Job | None = None) -> Repository:
    """Return a repository with an environment that is approved by its branch, and the job that guards the branch."""
    jobs = {**found.workflow("ci.yml").jobs, "promotion": job or PROMOTION}
    found = found.with_workflow("ci.yml", jobs=jobs).with_job("ci.yml", "gate", needs=["test", "lint", "promotion"])
    return found.around(environments={**found.surroundings.environments, "prod": PROD})


class TestAnApprovalBranch:
    @pytest.mark.parametrize(
        "job",
        [
            PROMOTION,
            replace(PROMOTION, condition=Expression("github.event_name == 'pull_request'")),
            promotion_job("main", ["deploy/qa", "deploy/prod"]),
        ],
    )
    def test_takes_only_what_is_merged(self, job: Job) -> None:
        assert guarded(repository(), job).problems() == []

    @pytest.mark.parametrize(
        "job",
        [
            promotion_job("main", ["deploy/qa"]),
            promotion_job("develop", ["deploy/prod"]),
            replace(PROMOTION, condition=event_is("push")),
            replace(PROMOTION, steps=[replace(each, continue_on_error=True) for each in PROMOTION.steps]),
            # The commit of the run is a merge that GitHub made, not what the pull request brings.
            Job(steps=[HISTORY, ANCESTRY]),
            Job(steps=[HISTORY, Run(run="true", env={"HEAD": github("event.pull_request.head.sha")})]),
        ],
    )
    def test_without_a_job_that_sees_to_it_is_a_problem(self, job: Job) -> None:
        says = "a pull request into deploy/prod could bring what was never merged into main"
        assert found(guarded(repository(), job), says)


class TestAnEnvironment:
    def test_must_exist(self) -> None:
        gone = repository().with_job("deploy.yml", "deploy", environment=JobEnvironment(name="dve"))
        assert found(gone, "did you mean dev?")

    @pytest.mark.parametrize("trigger", [PullRequest(), MergeGroup()])
    def test_is_reached_by_no_code_that_is_not_merged(self, trigger: object) -> None:
        assert found(on(trigger), "code that nobody has merged")
        assert found(on(trigger, Push(branches=["main"]), condition=event_is("push")), "nobody has merged") == []

    def test_of_a_preview_is_one_that_takes_pull_requests_and_records_nothing(self) -> None:
        environment = JobEnvironment(name="dev", deployment=False)
        preview = on(PullRequest(), environment=environment, condition=OF_THIS_REPOSITORY, runs_on=("ubuntu-latest",))
        assert found(preview, "code that nobody has merged")
        allowed = preview.with_environment("dev", branches=["main", "refs/pull/*/merge"])
        assert found(allowed, "code that nobody has merged") == []
        deploys = allowed.with_job("deploy.yml", "deploy", environment=DEV)
        assert found(deploys, "code that nobody has merged")

    @pytest.mark.parametrize(
        ("triggers", "refused"),
        [
            ([Push(branches=["main", "develop"])], "push on branch develop"),
            ([Push(branches=["release/*"])], "push on branch release/*"),
            ([Push(branches=["**"])], "push on branch **"),
            ([Push()], "push on branch any other"),
        ],
    )
    def test_refuses_branches_that_its_policy_does_not_name(self, triggers: Sequence[object], refused: str) -> None:
        (problem,) = found(on(*triggers), refused)
        assert "the environment dev, whose policy takes of branches: main" in problem

    @pytest.mark.parametrize(
        "condition",
        [
            IS_DEFAULT_BRANCH,
            Expression("github.ref == 'refs/heads/main'"),
            Expression("github.ref_name == 'main' && github.ref_type == 'branch'"),
            Expression("!startsWith(github.ref, 'refs/tags/') && github.ref_name == 'main'"),
        ],
    )
    def test_takes_a_condition_for_a_narrower_trigger(self, condition: Expression) -> None:
        assert found(on(Push(branches=["main", "develop"]), condition=condition), "whose policy takes") == []

    def test_of_an_approval_branch_is_not_reached_from_the_default_one(self) -> None:
        prod = on(Push(branches=["main"]), environment=JobEnvironment(name="prod"))
        prod = guarded(prod)
        assert found(prod, "policy takes of branches: deploy/prod")
        assert found(prod, "no trigger of the workflow ever reaches the environment prod")
        right = prod.with_workflow("deploy.yml", on=[Push(branches=["deploy/prod"])])
        assert right.problems() == []
        scheduled = prod.with_workflow("deploy.yml", on=[Schedule(cron="0 3 * * *")])
        assert found(scheduled, "schedule on branch main")

    def test_is_chosen_by_whoever_starts_a_run_as_far_as_its_policy_goes(self) -> None:
        assert on(Dispatch()).problems() == []
        choice = Input(description="d", type=InputType.CHOICE, options=["dev", "prod"])
        both = on(Dispatch(inputs={"to": choice}), environment=JobEnvironment(name=given("to")))
        assert guarded(both).problems() == []

    def test_of_a_matrix_is_each_of_them(self) -> None:
        axes = Matrix(axes={"to": ["dev", "prod"]})
        both = on(Push(branches=["main"]), environment=JobEnvironment(name=matrix("to")), matrix=axes)
        both = both.around(environments={**both.surroundings.environments, "prod": PROD})
        assert found(both, "reaches the environment prod")

    def test_that_cannot_be_computed_is_any_that_fits(self) -> None:
        named = JobEnvironment(name=f"preview-{output_of('build', 'api')}")
        assert found(on(Push(branches=["main"]), environment=named), "there is no secret KUBECONFIG")
        both = on(Push(branches=["main"]), environment=named)
        assert both.around(environments={"preview-dev": EnvironmentFacts(secrets=["KUBECONFIG"])}).problems() == []


class TestATag:
    def test_needs_a_policy(self) -> None:
        assert found(repository().with_environment("dev", tags=[]), "push on tag v*.*.*")
        assert found(repository().with_environment("dev", tags=["release-*"]), "of tags: release-*")

    def test_must_be_one_that_not_everybody_can_make(self) -> None:
        assert found(repository().around(protected_tags=[]), "protect the tags v*.*.*")
        assert found(repository().around(protected_tags=["release-*"]), "protect the tags v*.*.*")
        assert repository().around(protected_tags=["v*.*.*"]).problems() == []

    @pytest.mark.parametrize(
        "steps",
        [
            [CHECKOUT],
            [HISTORY, Run(run=ANCESTRY.run, continue_on_error=True)],
            [HISTORY, Run(run=f"{ANCESTRY.run} || true")],
            [HISTORY, Run(run=f"{ANCESTRY.run} || echo never merged")],
            [HISTORY, Run(run=f"if {ANCESTRY.run}; then echo merged; fi")],
            [HISTORY, Run(run=f"! {ANCESTRY.run}")],
            [HISTORY, Run(run=f"{ANCESTRY.run} && echo merged\necho done")],
            [HISTORY, Run(run=f'test -n "$STRICT" && {ANCESTRY.run}\necho done')],
            [HISTORY, Run(run=f"set +e\n{ANCESTRY.run}\necho done")],
            [HISTORY, Run(run="git merge-base --is-ancestor HEAD HEAD")],
            [HISTORY, Run(run='git merge-base --is-ancestor "$GITHUB_SHA" origin/mainly')],
            [HISTORY, Run(run=ANCESTRY.run, condition=event_is("workflow_dispatch"))],
            [HISTORY, Run(run=ANCESTRY.run, condition=Expression("vars.LOG_LEVEL == 'debug'"))],
        ],
    )
    def test_must_be_of_a_commit_that_was_merged(self, steps: Sequence[Step]) -> None:
        assert found(repository().with_job("deploy.yml", "merged", steps=steps), "that was never merged")

    @pytest.mark.parametrize(
        "run",
        [
            f"{ANCESTRY.run}\necho merged",
            f"{ANCESTRY.run} || {{ echo never merged; exit 1; }}",
            f"if {ANCESTRY.run}; then\n  echo merged\nelse\n  exit 1\nfi",
        ],
    )
    def test_may_be_looked_at_in_any_way_that_stops(self, run: str) -> None:
        assert repository().with_job("deploy.yml", "merged", steps=[HISTORY, Run(run=run)]).problems() == []

    def test_is_looked_at_in_time(self) -> None:
        unneeded = repository().with_job("deploy.yml", "deploy", needs=["build"])
        assert found(unneeded, "that was never merged")
        steps = repository().workflow("deploy.yml").jobs["deploy"].steps
        assert unneeded.with_job("deploy.yml", "deploy", steps=[HISTORY, ANCESTRY, *steps[1:]]).problems() == []
        late = unneeded.with_job("deploy.yml", "deploy", steps=[*steps, HISTORY, ANCESTRY])
        assert found(late, "that was never merged")

    def test_is_not_deployed_whatever_was_found(self) -> None:
        assert found(repository().with_job("deploy.yml", "deploy", condition=ALWAYS), "that was never merged")

    def test_may_be_looked_for_on_a_branch_that_a_variable_names(self) -> None:
        env = {"BRANCH": github("event.repository.default_branch")}
        named = Run(run='git merge-base --is-ancestor "$GITHUB_SHA" "origin/$BRANCH"', env=env)
        assert repository().with_job("deploy.yml", "merged", steps=[HISTORY, named]).problems() == []

    def test_may_be_looked_at_only_where_there_is_one(self) -> None:
        only = Run(run=ANCESTRY.run, condition=Expression("startsWith(github.ref, 'refs/tags/v')"))
        assert repository().with_job("deploy.yml", "merged", steps=[HISTORY, only]).problems() == []


class TestApprovers:
    def facts(self, *steps: Step, trigger: object | None = None) -> Repository:
        it = on(trigger or Dispatch(), steps=[*steps, SECRET])
        return it.with_environment("dev", variables=["INGRESS_HOST", APPROVERS])

    ASKS = Run(run="x", env={"APPROVERS": variable(APPROVERS)})

    def test_are_asked_first(self) -> None:
        assert self.facts(self.ASKS).problems() == []
        assert found(self.facts(), "does not ask who started the run")
        assert found(self.facts(CHECKOUT, self.ASKS), "does not ask who started the run")
        maybe = Run(run="x", env=self.ASKS.env, condition=event_is("push"))
        assert found(self.facts(maybe), "does not ask who started the run")

    def test_start_it_by_hand(self) -> None:
        assert found(self.facts(self.ASKS, trigger=Push(branches=["main"])), "deployed to by hand")


class TestALock:
    def test_of_a_workflow_never_waits_for_an_approval(self) -> None:
        locked = repository().with_workflow("deploy.yml", concurrency=LOCK)
        assert found(locked, "keeps every later run waiting")

    def test_of_a_deployment_is_declared_with_its_queue(self) -> None:
        assert found(repository().with_job("deploy.yml", "deploy", concurrency=None), "could run at once")
        lock = Concurrency(group="deploy-dev")
        assert found(repository().with_job("deploy.yml", "deploy", concurrency=lock), "declare the queue")

    def test_is_not_needed_by_what_only_waits_or_only_reads(self) -> None:
        environments = {
            **repository().surroundings.environments,
            "dev_approve": EnvironmentFacts(tags=["v*"], reviewed=True),
        }
        job = Job(needs=["merged"], environment=JobEnvironment(name="dev_approve"), steps=[Run(run="true")])
        jobs = {**repository().workflow("deploy.yml").jobs, "approve": job}
        assert repository().around(environments=environments).with_workflow("deploy.yml", jobs=jobs).problems() == []
        reads = JobEnvironment(name="dev", deployment=False)
        smoke = repository().with_job("deploy.yml", "deploy", environment=reads, concurrency=None)
        assert found(smoke, "could run at once") == []

    def test_never_ends_a_deployment(self) -> None:
        lock = Concurrency(group="deploy-dev", cancel_in_progress=True)
        assert found(repository().with_job("deploy.yml", "deploy", concurrency=lock), "could be ended while deploy")
        both = Concurrency(group="deploy-dev", cancel_in_progress=True, queue=True)
        assert found(repository().with_job("deploy.yml", "deploy", concurrency=both), "GitHub takes either")

    @pytest.mark.parametrize(
        "cancels", [True, Expression("github.ref_name != 'x'"), Expression("vars.LOG_LEVEL == ''")]
    )
    def test_never_ends_a_push(self, cancels: bool | Expression) -> None:
        lock = Concurrency(group="build", cancel_in_progress=cancels)
        assert found(repository().with_job("deploy.yml", "build", concurrency=lock), "could be ended while build")

    def test_may_end_what_leaves_nothing_behind(self) -> None:
        lock = Concurrency(group=f"ci-{github('ref')}", cancel_in_progress=event_is("pull_request"))
        ci = repository().with_workflow("ci.yml", concurrency=lock)
        assert ci.problems() == []
        builds = Uses(
            action="docker/build-push-action",
            inputs={"push": event_is("push")},
            permissions={Scope.PACKAGES: Access.WRITE},
        )
        assert ci.with_job("ci.yml", "test", steps=[CHECKOUT, builds]).problems() == []
        pushes = Uses(action=builds.action, inputs={"push": True}, permissions=builds.permissions)
        assert found(ci.with_job("ci.yml", "test", steps=[CHECKOUT, pushes]), "could be ended while test")
        exports = Uses(action=builds.action, inputs={"outputs": "type=image,push=true"}, permissions=builds.permissions)
        assert found(ci.with_job("ci.yml", "test", steps=[CHECKOUT, exports]), "could be ended while test")

    @pytest.mark.parametrize("part", ["run_id", "sha", "ref", "ref_name", "run_number", "actor"])
    def test_of_a_deployment_is_the_same_in_every_run(self, part: str) -> None:
        lock = Concurrency(group=f"deploy-{github(part)}", queue=True)
        assert found(repository().with_job("deploy.yml", "deploy", concurrency=lock), "differs from run to run")

    def test_has_a_name(self) -> None:
        assert found(repository().with_workflow("ci.yml", concurrency=Concurrency(group=" ")), "has no name")


def deployed(image: str, **env: object) -> Repository:
    step = Run(id="deploy", run=f"pavedpath deploy orders \\\n  --image {image}", env=env, outputs=["revision"])  # pyright: ignore[reportArgumentType]  # texts and expressions
    return repository().with_step("deploy.yml", "deploy", 1, **{name: getattr(step, name) for name in ("run", "env")})


class TestWhatIsDeployed:
    DIGEST = "sha256:" + "0" * 64

    def test_is_what_was_built(self) -> None:
        assert deployed('"api=$IMAGE"', IMAGE=f"x@{output_of('build', 'api')}").problems() == []
        assert deployed('"api=x@${DIGEST}"', DIGEST=output_of("build", "api")).problems() == []
        assert deployed(f"api=x@{self.DIGEST}").problems() == []

    @pytest.mark.parametrize(
        ("image", "env"),
        [
            ("api=x:latest", {}),
            ('api="x:latest"', {}),
            ("api=x:$GITHUB_SHA", {}),
            ('"api=x:$TAG"', {"TAG": github("sha")}),
            ('"api=x:$TAG"', {"TAG": variable("LOG_LEVEL")}),
            ('"api=$IMAGE"', {}),
        ],
    )
    def test_is_not_named_by_a_tag(self, image: str, env: dict[str, object]) -> None:
        assert found(deployed(image, **env), "not shown to be what was built")

    @pytest.mark.parametrize("key", ["image.tag", "api.image.tag", "image", "image.digest"])
    def test_is_not_set_by_a_tag_either(self, key: str) -> None:
        env: dict[str, object] = {"TAG": github("sha")}
        run = f'helm upgrade orders . --atomic --set {key}="$TAG"'
        assert found(repository().with_step("deploy.yml", "deploy", 1, run=run, env=env), "what was built")
        env = {"TAG": output_of("build", "api")}
        assert repository().with_step("deploy.yml", "deploy", 1, run=run, env=env).problems() == []

    @pytest.mark.parametrize("command", ["helm upgrade --install", "helm install", "helm -n x upgrade"])
    def test_is_looked_at_without_atomic_too(self, command: str) -> None:
        run = f"{command} orders . --set image.tag=latest"
        assert found(repository().with_step("deploy.yml", "deploy", 1, run=run, env={}), "what was built")
        run = "pavedpath deploy orders --set replicas=3 --set image.repository=x"
        assert repository().with_step("deploy.yml", "deploy", 1, run=run).problems() == []

    def test_is_followed_through_jobs_to_a_step_that_knows_a_digest(self) -> None:
        passed = Job(needs=["build"], steps=[Run(run="x")], outputs={"image": output_of("build", "api")})
        jobs = repository().workflow("deploy.yml").jobs
        through = deployed('"api=$IMAGE"', IMAGE=output_of("pass", "image"))
        through = through.with_workflow(
            "deploy.yml", jobs={"pass": passed, **through.workflow("deploy.yml").jobs}
        ).with_job("deploy.yml", "deploy", needs=["pass", "build", "merged"])
        assert through.problems() == []
        tag = Run(id="image", run="x", outputs=["tag"])
        untold = through.with_job("deploy.yml", "build", steps=[tag], outputs={"api": output_of_step("image", "tag")})
        assert found(untold, "not shown to be what was built")
        assert jobs

    def test_may_be_found_by_a_step_of_the_job(self) -> None:
        finds = Run(id="find", run="pavedpath image resolve x:v1", outputs=["image", "digest"])
        deploy = Run(run='pavedpath deploy orders --image "api=$IMAGE"', env={"IMAGE": output_of_step("find", "image")})
        assert repository().with_job("deploy.yml", "deploy", steps=[finds, deploy, SECRET]).problems() == []


class TestGoingBack:
    def rolled(self, condition: Expression | None, **deploy: object) -> Repository:
        first = Run(**{"id": "deploy", "run": "helm upgrade orders . \\\n --atomic", "outputs": ["revision"], **deploy})  # pyright: ignore[reportArgumentType]  # the test's
        back = Run(run="helm rollback orders", condition=condition)
        return repository().with_job("deploy.yml", "deploy", steps=[SECRET, first, back])

    @pytest.mark.parametrize(
        "condition",
        [
            None,
            FAILED,
            ALWAYS,
            FAILED & outcome_of("deploy").differs("skipped"),
            FAILED | outcome_of("deploy").equals("success"),
            outcome_of("deploy").equals("failure"),
        ],
    )
    def test_twice_is_a_problem(self, condition: Expression | None) -> None:
        assert found(self.rolled(condition), "going back again would go back too far")

    def test_once_is_none(self) -> None:
        assert self.rolled(FAILED & outcome_of("deploy").equals("success")).problems() == []
        assert self.rolled(Expression("failure() && steps.deploy.conclusion == 'success'")).problems() == []

    def test_does_not_believe_a_conclusion_that_is_always_good(self) -> None:
        condition = Expression("failure() && steps.deploy.conclusion == 'success'")
        assert found(self.rolled(condition, continue_on_error=True), "too far")

    def test_needs_the_deployments_id(self) -> None:
        assert found(self.rolled(FAILED, id="", outputs=()), "too far")

    def test_in_a_job_of_its_own_asks_what_runs(self) -> None:
        back = Job(needs=["deploy"], condition=FAILED, steps=[Run(run="pavedpath rollback orders")])
        jobs = {**repository().workflow("deploy.yml").jobs, "back": back}
        assert found(repository().with_workflow("deploy.yml", jobs=jobs), "--if-deployed")
        asks = Run(run='pavedpath rollback orders --if-deployed "$REVISION"')
        jobs["back"] = Job(needs=["deploy"], condition=FAILED, steps=[asks])
        assert repository().with_workflow("deploy.yml", jobs=jobs).problems() == []

    @pytest.mark.parametrize(
        ("run", "twice"),
        [
            ("helm upgrade orders . --atomic || helm rollback orders", True),
            ("helm upgrade orders . \\\n  --rollback-on-failure || {\n  helm rollback orders\n  exit 1\n}", True),
            ("pavedpath deploy orders\npavedpath smoke x || pavedpath rollback orders", True),
            (
                'pavedpath deploy orders\npavedpath smoke x || pavedpath rollback orders --if-deployed "$REVISION"',
                False,
            ),
            ("helm upgrade orders . || helm rollback orders", False),
            ("helm rollback orders\nhelm upgrade orders . --atomic", False),
        ],
    )
    def test_in_the_script_of_the_deployment(self, run: str, twice: bool) -> None:
        one = repository().with_job("deploy.yml", "deploy", steps=[SECRET, Run(run=run)])
        assert bool(found(one, "going back again would go back too far")) is twice

    def test_by_hand_is_free(self) -> None:
        by_hand = on(Dispatch(), steps=[SECRET, Run(run="pavedpath rollback orders --to-revision 3")])
        assert by_hand.problems() == []


def test_a_build_alone_needs_no_environment() -> None:
    assert repository().with_workflow("deploy.yml", jobs={"build": build_job()}).problems() == []
