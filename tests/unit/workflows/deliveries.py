"""Services that are rendered for other systems than GitHub: one to read, random ones, and what nobody may be called."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st
from pavedpath.plans import Approval
from pavedpath.workflows import gitlab, jenkins
from pavedpath.workflows.portable import Tools
from pavedpath.workflows.service import Image, Service, Target

GOLDEN = Path(__file__).with_name("golden-other")


def pinned(name: str, digit: str = "0") -> str:
    return f"{name}@sha256:{digit * 64}"


TOOLS = Tools(
    python={"3.12": pinned("python:3.12", "1"), "3.13": pinned("python:3.13", "2")},
    delivery=pinned("python:3.13", "2"),
    buildkit=pinned("moby/buildkit:rootless", "3"),
    trivy=pinned("registry.example:5000/aquasec/trivy", "4"),
)
DEV = Target(environment="dev")
PROD = Target(environment="prod", approval=Approval.REVIEWERS)
TAGGED = Target(environment="prod", approval=Approval.REVIEWERS, tags=["v*.*.*"])
API = Image(name="api", context="services/api")
ORDERS = Service(
    name="orders",
    owner="Acme",
    checks={"test": "python -m pytest"},
    images=[API],
    chart="charts/orders",
    targets=[DEV, PROD],
)
SETTINGS = jenkins.Settings(approvers={"prod": ["release-managers", "ada"]})


def golden() -> dict[str, str]:
    """Return the text of each golden file by its name."""
    return {"gitlab-ci.yml": gitlab.render(ORDERS, TOOLS), "Jenkinsfile": jenkins.render(ORDERS, TOOLS, SETTINGS)}


def settings_for(service: Service) -> jenkins.Settings:
    return jenkins.Settings(approvers={each.environment: ["ada"] for each in service.targets})


HOSTILE = [
    *("", "a b", "a'b", 'a"b', "a`id`", "a$(id)", "${{ secrets.X }}", "${PATH}", "a\nb", "a;b", "a|b", "a&b", "a#b"),
    *("../a", "/etc", "-rf", "a\\b", "a'''b", "a\x00", "a\u2028b", "$[[ inputs.x ]]", "!reference [x]", "*a", "a\tb"),
]
"""Texts that would end a quote, start a command or mean something to a system of pipelines."""

COMMANDS = [
    "echo 'a'",
    "echo '''a'''",
    "echo \"$HOME\" ''",
    'echo "${X:-$(date)}" `id` \\$X \\\\',
    "printf '\\n\\u0041\\t'  # a: b",
    "[ -d . ] && echo '{' || echo '}'",
    "cat <<'END'\n  indented: {{ x }}\n\ttab\nEND",
    "- a",
    "!x",
    "echo *a & wait",
    "echo trailing ",
    "echo $[[ inputs.x ]] '",
    "echo ä '🚀'''",
    "\necho first is empty\n",
]
"""Checks that are awkward to quote, each of which must reach the shell as it is."""

_names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_environments = st.sampled_from(["dev", "qa", "staging", "eu-west_1", "Prod", "x"])
_platforms = st.sampled_from([["linux/amd64"], ["linux/amd64", "linux/arm64"], ["linux/arm/v7", "linux/arm64"]])
_images = st.builds(
    Image,
    name=_names,
    context=st.sampled_from([".", "services/api", "a b".replace(" ", "_"), "x/y.z"]),
    dockerfile=st.sampled_from(["Dockerfile", "docker/api.Dockerfile"]),
    platforms=_platforms,
)


@st.composite
def _targets(draw: st.DrawFn, *, tags: bool) -> Sequence[Target]:
    environments = draw(st.lists(_environments, min_size=1, max_size=4, unique=True))
    tagged = draw(st.integers(0, len(environments))) if tags else len(environments)
    patterns = draw(st.sampled_from([["v*.*.*"], ["v*.*.*", "release/*"]]))
    return [
        Target(
            environment=name,
            approval=draw(st.sampled_from(Approval)),
            namespace=draw(st.sampled_from(["", "october"])),
            runner_labels=draw(st.sampled_from([(), ("big", "arm64")])),
            timeout_minutes=draw(st.integers(1, 60)),
            # A target after the first one of tags is deployed by their pipeline with or without saying so.
            tags=patterns if index == tagged or (index > tagged and draw(st.booleans())) else (),
        )
        for index, name in enumerate(environments)
    ]


@st.composite
def services(draw: st.DrawFn) -> Service:
    """Return a service that both systems can deliver."""
    images = draw(st.lists(_images, max_size=3, unique_by=lambda each: each.name.replace("-", "_")))
    targets = draw(_targets(tags=bool(images)) if not images else st.just(()) | _targets(tags=True))
    checks = st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True), commands(), min_size=1, max_size=3
    )
    return Service(
        name=draw(_names),
        owner="acme",
        checks=draw(checks),
        images=images,
        chart=draw(st.sampled_from(["charts/shop", f"oci://ghcr.io/acme/charts/shop@sha256:{'0' * 64}"]))
        if targets
        else "",
        values=draw(st.sampled_from(["", "etc/values"])),
        targets=targets,
        python=draw(st.sampled_from([["3.12"], ["3.12", "3.13"]])),
    )


def commands() -> st.SearchStrategy[str]:
    """Return shell commands that are awkward to quote, and texts that are no commands at all."""
    awkward = st.text(st.sampled_from("ab '\"\\$`{}[]<>#:-!&*\n\tuä"), min_size=1, max_size=30)
    return (st.sampled_from(COMMANDS) | awkward).filter(lambda text: bool(text.strip()))


def write() -> None:
    """Write the golden files anew: .venv/bin/python -m tests.unit.workflows.deliveries."""
    GOLDEN.mkdir(exist_ok=True)
    for name, text in golden().items():
        (GOLDEN / name).write_text(text)


if __name__ == "__main__":
    write()
