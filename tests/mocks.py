"""Run components without an engine and see the graph that they register."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import SETTINGS, set_root_resource
from pulumi.runtime.stack import run_in_stack

SECRET = "[secret]"
ACCOUNT, REGION = "123456789012", "us-east-1"

# What the stacks ask of providers and of each other.
ANSWERS: dict[str, Mapping[str, Any]] = {
    "github:index/getOrganization:getOrganization": {"id": "7", "login": "acme"},
    "github:index/getTeam:getTeam": {"id": "9", "slug": "releasers"},
    "github:index/getUser:getUser": {"id": "10", "login": "ada"},
    "organization/pavedpath/shared": {
        "github": {
            "organization_id": 7,
            "repository_ids": {"storefront": 8, "orders": 9},
            "approval_branches": {"storefront": ["prod"], "orders": ["prod"]},
        }
    },
}


@dataclass(frozen=True)
class Node:
    """One registered resource."""

    urn: str
    type_: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    custom: bool
    depends_on: tuple[str, ...]
    protect: bool
    retain: bool


@dataclass
class Graph:
    """What a program registered, in order."""

    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    repeated: list[str] = field(default_factory=list[str])

    def of_type(self, type_: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.type_ == type_]

    def one(self, type_: str, name: str | None = None) -> Node:
        found = [node for node in self.of_type(type_) if name in (None, node.name)]
        assert len(found) == 1, f"{type_} {name}: {[node.urn for node in found]}"
        return found[0]


class _Resources(mocks.Mocks):
    """Answers as the providers would, as far as the program reads their answers."""

    def __init__(self, answers: Mapping[str, Mapping[str, Any]]) -> None:
        self.answers = answers

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        service = args.typ.split(":")[1].split("/")[0]
        state = dict(cast(dict[str, Any], cast(Any, args).inputs))
        state.setdefault("name", args.name)
        state.setdefault("arn", f"arn:aws:{service}:{REGION}:{ACCOUNT}:{args.name}")
        state |= {"repoId": 4711, "htmlUrl": f"https://github.example/{args.name}"} if "github" in args.typ else {}
        if args.typ == "github:index/team:Team":
            state["slug"] = str(state["name"]).lower()
        if args.typ == "aws:ecr/repository:Repository":
            state["repositoryUrl"] = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{state['name']}"
        if args.typ == "aws:sqs/queue:Queue":
            state["url"] = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{state['name']}"
        if args.typ == "aws:lambda/functionUrl:FunctionUrl":
            state["functionUrl"] = f"https://{args.name}.lambda-url.{REGION}.on.aws/"
        if args.typ == "aws:kms/key:Key":
            state["keyId"] = f"{args.name}-key"
        if args.typ == "aws:kms/alias:Alias":
            state["arn"] = f"arn:aws:kms:{REGION}:{ACCOUNT}:{state['name']}"
        if state.get("assignGeneratedIpv6CidrBlock"):
            state["ipv6CidrBlock"] = "2600:1f18:abc:de00::/56"
        if args.typ == "kubernetes:core/v1:Secret":
            state["data"] = {"ca.crt": "Y2E=", "token": "dG9rZW4="}
        if args.typ == "kubernetes:helm.sh/v3:Release":
            state["status"] = {"status": "deployed", "revision": 1}
        if args.typ == "pulumi:pulumi:StackReference":
            state["outputs"] = self.answers.get(str(state["name"]), {})
        return f"{args.name}-id", state

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]  # the SDK takes a plain mapping too
        return dict(self.answers.get(args.token, {}))


class _Monitor(mocks.MockMonitor):
    """Records what the SDK's mock forgets: parents, dependencies, outputs, and a name used twice."""

    def __init__(self, resources: _Resources, graph: Graph, stack: str) -> None:
        super().__init__(resources)
        self.graph = graph
        self.stack = stack

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        # The stack's name is a context variable, which the threads that register resources do not see.
        # As in the engine's own URNs, the root's type is not part of its children's.
        above = "" if parent.split("::")[2:3] == ["pulumi:pulumi:Stack"] else parent
        parts = super().make_urn(above, type_, name).split("::")
        return "::".join([f"urn:pulumi:{self.stack}", "pavedpath", *parts[2:]])

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # the name is the protocol's
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return cast(Any, super()).RegisterResource(request)
        answer: Any = cast(Any, super()).RegisterResource(request)
        inputs = _plain(rpc.deserialize_properties(request.object, keep_unknowns=True))
        node = Node(
            urn,
            request.type,
            request.name,
            request.parent,
            inputs,
            request.custom,
            tuple(request.dependencies),
            protect=self._inherited(request, "protect", "protect"),
            retain=self._inherited(request, "retainOnDelete", "retain"),
        )
        # One step, since the SDK registers from several threads at once.
        if self.graph.nodes.setdefault(urn, node) is not node:
            self.graph.repeated.append(urn)
        return answer

    def _inherited(self, request: Any, field_: str, attribute: str) -> bool:
        """Return an option as the engine does: what the resource does not state is its parent's."""
        if request.HasField(field_):
            return bool(getattr(request, field_))
        parent = self.graph.nodes.get(request.parent)
        return parent is not None and bool(getattr(parent, attribute))

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  # the name is the protocol's
        assert request.urn not in self.graph.outputs, f"outputs registered twice: {request.urn}"
        self.graph.outputs[request.urn] = _plain(rpc.deserialize_properties(request.outputs, keep_unknowns=True))
        return cast(Any, super()).RegisterResourceOutputs(request)


def _plain(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return SECRET
    if isinstance(value, Mapping):
        plain = {str(key): _plain(item) for key, item in sorted(cast(Mapping[Any, Any], value).items())}
        if isinstance(script := plain.get("userData"), str) and script != SECRET:
            plain["userData"] = base64.b64decode(script).decode()
        return plain
    if isinstance(value, pulumi.AssetArchive):
        return sorted(value.assets)  # where the files lie is this machine's own business
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[Any], value)]
    return value


def run(
    program: Callable[[], object], stack: str = "test", answers: Mapping[str, Mapping[str, Any]] | None = None
) -> Graph:
    """Run a program to its end as the engine would run it, without transforms' remote half, and return its graph.

    `answers` holds what invokes return by their token, and what stack references hold by the stack's full name.
    """
    graph = Graph()
    resources = _Resources(answers or {})

    async def main() -> None:
        # With a root in place the mocks make none of their own, which would take this program's outputs.
        set_root_resource(cast(Any, object()))
        monitor = _Monitor(resources, graph, stack)
        mocks.set_mocks(resources, project="pavedpath", stack=stack, monitor=monitor, organization="organization")
        set_root_resource(cast(Any, None))
        settings = cast(Any, SETTINGS)  # its class is a proxy whose attributes pyright cannot see
        settings.rpc_manager.clear()  # what an earlier program that failed never awaited
        settings.outputs.clear()
        await run_in_stack(lambda: cast(Any, program()))

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main())
    finally:
        pending = asyncio.all_tasks(loop)  # what a program that failed left waiting
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.close()
    return graph
