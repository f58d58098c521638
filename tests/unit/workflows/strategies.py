"""Random repositories whose workflows are right, and texts that YAML could misread."""

from collections.abc import Sequence

from hypothesis import strategies as st
from pavedpath.workflows.checks import PROMOTION, promotion_job
from pavedpath.workflows.expressions import (
    OF_THIS_REPOSITORY,
    Expression,
    event_is,
    github,
    given,
    matrix,
    output_of,
    output_of_step,
    runner,
    secret,
    variable,
)
from pavedpath.workflows.model import (
    Concurrency,
    Dispatch,
    EnvironmentFacts,
    Input,
    InputType,
    Job,
    Matrix,
    MergeGroup,
    PullRequest,
    Push,
    Run,
    Schedule,
    Step,
    Surroundings,
    Text,
    Trigger,
    Uses,
    Workflow,
)

from tests.unit.workflows.examples import ANCESTRY, CHECKOUT, HISTORY, Repository, build_job, deploy_job, gate

TRICKY = [
    *("on", "off", "yes", "no", "y", "N", "true", "False", "null", "~", "", "012", "0x1f", "0o17", "1e3", "1_000"),
    *("3.10", ".5", "1.", "-1", "+1", "2026-01-01", "12:30:45", "=", "<<", "- a", "a: b", "a #b", "*a", "&a", "!a"),
    *("%a", "@a", "`a`", "'a'", '"a"', "a\\b", "a:", "[a]", "{a}", "a, b", "?", ": ", "| a", "> a", "---", "..."),
    *(" a", "a ", "ä", "\u00a0", "🚀", ".inf", ".NaN", "a\nb", "a\n", "{{ .Values.x }}"),
]

_words = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
_names = st.from_regex(r"[a-z_][a-z0-9_-]{0,12}", fullmatch=True).filter(
    lambda name: name not in ("gate", "build", PROMOTION)
)
_variables = st.sampled_from(["X", "LEVEL", "ON", "NO", "Y", "PATH_TO_IT", "N1"])


def lines() -> st.SearchStrategy[str]:
    """Return commands over several lines, indented or not."""
    line = st.from_regex(r"( {0,4})[a-z]{1,6}( [a-z\"'$:#&|<>{}\[\]*!%@`\\-]{1,6}){0,3}", fullmatch=True)
    return st.lists(line | st.just(""), min_size=2, max_size=5).map("\n".join).filter(lambda text: bool(text.strip()))


def texts(*expressions: Expression) -> st.SearchStrategy[Text]:
    """Return plain texts, tricky ones, and texts with one of the expressions in them."""
    plain = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=12)
    harmless = plain.filter(lambda text: "{" not in text and all(each.isprintable() for each in text))
    literal = st.sampled_from([each for each in TRICKY if each.replace("\n", "").isprintable()]) | harmless
    if not expressions:
        return literal
    chosen = st.sampled_from(expressions)
    return literal | chosen | st.tuples(_words, chosen).map(lambda parts: f"{parts[0]}-{parts[1]}")


_COMMANDS = st.sampled_from(["make test", "echo 'a: b' # c", 'test -n "$X"', "true"]) | st.just(
    "if make; then\n  echo '{}' |\n    cat\nfi\n"
)


@st.composite
def _steps(draw: st.DrawFn, known: Sequence[Expression]) -> list[Step]:
    """Return steps, each of which may refer to the outputs of those before it."""
    found: list[Step] = [CHECKOUT]
    available = list(known)
    for index in range(draw(st.integers(1, 3))):
        env = draw(st.dictionaries(_variables, texts(*available), max_size=2))
        if draw(st.booleans()):
            found.append(
                Run(
                    name=draw(st.just("") | _words),
                    id=f"step{index}",
                    run=draw(_COMMANDS),
                    env=env,
                    outputs=["value"],
                    condition=draw(st.sampled_from([None, event_is("push"), Expression("!cancelled()")])),
                    why=draw(st.just("") | _words),
                )
            )
            available.append(output_of_step(f"step{index}", "value"))
        else:
            inputs = draw(st.dictionaries(_words, texts(*available) | st.booleans() | st.integers(), max_size=2))
            action = draw(st.sampled_from(["actions/setup-python", "actions/cache", "azure/setup-helm"]))
            found.append(Uses(action=action, inputs=inputs, env=env))  # pyright: ignore[reportArgumentType]  # Text is a Scalar
    return found


@st.composite
def _check(draw: st.DrawFn, before: Sequence[str]) -> Job:
    """Return a job that checks something."""
    needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=2)) if before else []
    axes = draw(st.none() | st.just(Matrix(axes={"python": ["3.10", "3.12"]}, include=[{"python": "on"}])))
    known = [github("sha"), runner("os"), variable("LEVEL"), variable("GONE", "yes"), Expression("github['ref']")]
    known += [matrix("python")] if axes else []
    known += [output_of(each, "value") for each in needs]
    condition = draw(st.sampled_from([None, event_is("push"), OF_THIS_REPOSITORY]))
    if condition is not None:
        known.append(secret("TOKEN"))
    steps = draw(_steps(known))
    own = [step.id for step in steps if step.outputs]
    return Job(
        steps=steps,
        needs=needs,
        matrix=axes,
        condition=condition,
        runs_on=("self-hosted", "linux") if condition is not None and draw(st.booleans()) else ("ubuntu-latest",),
        outputs={"value": output_of_step(own[0], "value") if own else github("sha")},
        timeout_minutes=draw(st.integers(1, 360)),
        why=draw(st.just("") | _words),
    )


@st.composite
def _checks(draw: st.DrawFn) -> Workflow:
    jobs: dict[str, Job] = {}
    guard = promotion_job("main", ["deploy/prod"])
    for name in draw(st.lists(_names, min_size=1, max_size=3, unique_by=str.lower)):
        jobs[name] = draw(_check(list(jobs)))
    on: list[Trigger] = [PullRequest(), Push(branches=["main"]), MergeGroup()]
    on += draw(
        st.lists(st.sampled_from([Schedule(cron="0 3 * * 1"), Schedule(cron="*/15 0-6 1,15 * MON-FRI")]), max_size=2)
    )
    kind = draw(st.sampled_from([InputType.STRING, InputType.BOOLEAN, InputType.NUMBER]))
    default = {InputType.STRING: "no", InputType.BOOLEAN: False, InputType.NUMBER: 3}[kind]
    if draw(st.booleans()):
        on.append(Dispatch(inputs={"debug": Input(description="Say more: all", type=kind, default=default)}))
    cancels = Concurrency(group=f"ci-{github('ref')}", cancel_in_progress=event_is("pull_request"))
    return Workflow(
        file="ci.yml",
        name=draw(_words),
        on=on,
        jobs={**jobs, PROMOTION: guard, "gate": gate(*jobs, PROMOTION)},
        how_to_change="Change the settings.",
        why=draw(_words),
        concurrency=draw(st.sampled_from([None, cancels])),
        env=draw(st.dictionaries(_variables, texts(github("sha"), variable("LEVEL")), max_size=2)),
    )


@st.composite
def _deployment(draw: st.DrawFn, environment: str, facts: EnvironmentFacts) -> Workflow:
    """Return the deployment to one environment, started by what its policy takes."""
    choice = Input(description="what", type=InputType.CHOICE, options=["on", "off"], default="on")
    by_hand = Dispatch(inputs={"mode": choice})
    push = Push(branches=facts.branches, tags=["v*.*.*"] if facts.tags else [])
    triggers = draw(st.sampled_from([[push], [push, by_hand], [by_hand]]))
    more: list[Step] = [Run(run="true", env={"MODE": given("mode")})] if by_hand in triggers else []
    job = deploy_job(environment, *more)
    in_one_job = Job(steps=[HISTORY, ANCESTRY], timeout_minutes=5)
    return Workflow(
        file=f"deploy-{environment}.yml",
        name=f"deploy {environment}",
        on=triggers,
        jobs={"merged": in_one_job, "build": build_job(), "deploy": job},
        how_to_change="Change the settings.",
        run_name=draw(st.sampled_from(["", f"deploy {github('ref_name')}"])),
    )


@st.composite
def repositories(draw: st.DrawFn) -> Repository:
    """Return a repository with checks and up to two deployments, in which nothing is wrong."""
    policies = {
        "dev": EnvironmentFacts(branches=["main"], tags=draw(st.sampled_from([[], ["v*"]])), secrets=["KUBECONFIG"]),
        "prod": EnvironmentFacts(branches=["deploy/prod"], secrets=["KUBECONFIG"]),
        "qa": EnvironmentFacts(branches=["main", "release/*"], secrets=["KUBECONFIG"], reviewed=True),
    }
    names = draw(st.lists(st.sampled_from(list(policies)), min_size=1, max_size=2, unique=True))
    around = Surroundings(
        secrets=["TOKEN"],
        variables=["LEVEL"],
        environments={name: policies[name] for name in names},
        protected_tags=["v*"],
        merge_queue=True,
    )
    deployments = [draw(_deployment(name, policies[name])) for name in names]
    return Repository((draw(_checks()), *deployments), around)
