import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pavedpath_delivery.kit.github import GitHub, api_root, connect
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Repeatable, Unclear
from pavedpath_delivery.stack.repair.reality_github import FINDERS, look

R = "/api/v3/repos/acme/shop"
NONE: frozenset[str] = frozenset()
WORLD: dict[str, Any] = {
    R: {"name": "shop"},
    f"{R}/rulesets": [
        {"id": 7, "name": "main", "source_type": "Repository"},
        {"id": 8, "name": "main", "source_type": "Organization"},
        {"id": 9, "name": "release", "source_type": "Repository"},
    ],
    "/api/v3/orgs/acme/rulesets": [{"id": 8, "name": "main"}],
    f"{R}/environments/dev": {"name": "dev"},
    f"{R}/environments/dev/deployment-branch-policies": {
        "branch_policies": [{"id": 3, "name": "main", "type": "branch"}, {"id": 4, "name": "v*", "type": "tag"}]
    },
    f"{R}/contents/.github/workflows/ci.yml": {"type": "file"},
    f"{R}/actions/variables/REGION": {"name": "REGION"},
    f"{R}/environments/dev/variables/CLUSTER": {"name": "CLUSTER"},
    "/api/v3/orgs/acme/actions/variables/ORG": {"name": "ORG"},
    f"{R}/branches/main": {"name": "main"},
    "/api/v3/orgs/acme/teams": [{"id": 11, "name": "platform"}],
    "/api/v3/orgs/acme/actions/runner-groups": {
        "runner_groups": [{"id": 1, "name": "Default"}, {"id": 2, "name": "dev"}]
    },
    f"{R}/hooks": [{"id": 5, "config": {"url": "https://hooks"}}],
}


def github(world: dict[str, Any], seen: list[httpx.Request] | None = None) -> GitHub:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        found = world.get(request.url.path)
        return httpx.Response(404, json={}) if found is None else httpx.Response(200, json=found)

    client = httpx.Client(base_url="http://gh/api/v3/", transport=httpx.MockTransport(answer))
    return GitHub(client, "acme")


def operation(kind: str, **inputs: Any) -> PendingOperation:
    token = f"github:index/{kind[0].lower()}{kind[1:]}:{kind}"
    return PendingOperation("creating", "u", token, custom=True, inputs={"repository": "shop", **inputs})


CASES = [
    ("Repository", {"name": "shop"}, "shop"),
    ("RepositoryRuleset", {"name": "main"}, "shop:7"),
    ("OrganizationRuleset", {"name": "main"}, "8"),
    ("RepositoryEnvironment", {"environment": "dev"}, "shop:dev"),
    ("RepositoryEnvironmentDeploymentPolicy", {"environment": "dev", "branchPattern": "main"}, "shop:dev:3"),
    ("RepositoryEnvironmentDeploymentPolicy", {"environment": "dev", "tagPattern": "v*"}, "shop:dev:4"),
    ("RepositoryFile", {"file": ".github/workflows/ci.yml", "branch": "main"}, "shop:.github/workflows/ci.yml:main"),
    ("ActionsVariable", {"variableName": "REGION"}, "shop:REGION"),
    ("ActionsEnvironmentVariable", {"environment": "dev", "variableName": "CLUSTER"}, "shop:dev:CLUSTER"),
    ("ActionsOrganizationVariable", {"variableName": "ORG"}, "ORG"),
    ("Branch", {"branch": "main"}, "shop:main"),
    ("Team", {"name": "platform"}, "11"),
    ("ActionsRunnerGroup", {"name": "dev"}, "2"),
    ("RepositoryWebhook", {"configuration": {"url": "https://hooks"}}, "shop/5"),
]


@pytest.mark.parametrize(("kind", "inputs", "identifier"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_what_exists_is_found_under_the_id_that_the_provider_imports(
    kind: str, inputs: dict[str, Any], identifier: str
) -> None:
    seeded = kind in ("Repository", "RepositoryFile")
    assert look(operation(kind, **inputs), NONE, github(WORLD)) == Exists(identifier, seeded)
    assert look(operation(kind, **inputs), NONE, github({})) == Absent()


def test_a_file_is_looked_for_on_its_branch() -> None:
    seen: list[httpx.Request] = []
    look(operation("RepositoryFile", file="a b.md", branch="dev"), NONE, github(WORLD, seen))
    assert str(seen[0].url) == f"http://gh{R}/contents/a%20b.md?ref=dev"


def test_separators_inside_a_part_are_escaped() -> None:
    world = {f"{R}/environments/eu:dev/variables/A": {"name": "A"}}
    found = look(operation("ActionsEnvironmentVariable", environment="eu:dev", variableName="A"), NONE, github(world))
    assert found == Exists("shop:eu??dev:A")


def test_two_rulesets_of_one_name_are_asked_about() -> None:
    world = {f"{R}/rulesets": [{"id": 1, "name": "main"}, {"id": 2, "name": "main"}]}
    reality = look(operation("RepositoryRuleset", name="main"), NONE, github(world))
    assert reality == Unclear("several could be it: 1, 2")


def test_all_pages_are_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "page=2" in str(request.url):
            return httpx.Response(200, json=[{"id": 2, "name": "last"}])
        link = {"Link": '<http://gh/api/v3/orgs/acme/teams?page=2>; rel="next"'}
        return httpx.Response(200, json=[{"id": 1, "name": "first"}], headers=link)

    api = GitHub(httpx.Client(base_url="http://gh/api/v3/", transport=httpx.MockTransport(answer)), "acme")
    assert look(operation("Team", name="last"), NONE, api) == Exists("2")


def test_what_sets_is_repeated_and_what_cannot_be_known_is_asked() -> None:
    assert look(operation("ActionsSecret"), NONE, github({})) == Repeatable()
    assert isinstance(look(operation("Nope"), NONE, github({})), Unclear)
    unknown = look(
        PendingOperation("creating", "u", operation("RepositoryRuleset").type, custom=True), NONE, github({})
    )
    assert unknown == Unclear("its repository and name cannot be read from the state")


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusal_is_no_absence(status: int) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, json={}))
    api = GitHub(httpx.Client(base_url="http://gh/api/v3/", transport=transport), "acme")
    for one in (operation("Repository", name="shop"), operation("Team", name="a")):
        assert isinstance(look(one, NONE, api), Unclear)


def test_the_api_is_where_the_provider_looks_for_it() -> None:
    assert api_root("https://api.github.com") == "https://api.github.com/"
    assert api_root("https://api.acme.ghe.com/") == "https://api.acme.ghe.com/"
    assert api_root("http://127.0.0.1:9000") == "http://127.0.0.1:9000/api/v3/"
    assert api_root("https://git.acme.test/api/v3/") == "https://git.acme.test/api/v3/"


def test_the_providers_own_settings_come_before_the_environments() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
    environ = {"GITHUB_OWNER": "env", "GITHUB_TOKEN": "t", "GITHUB_BASE_URL": "http://env/"}
    api = connect(environ, {"owner": "acme", "baseUrl": secret})
    client: httpx.Client = api._client  # pyright: ignore[reportPrivateUsage]  what it sends is what counts
    assert (api.owner, str(client.base_url)) == ("acme", "http://env/api/v3/")
    assert client.headers["Authorization"] == "Bearer t"


def test_every_type_in_the_table_is_one_of_the_sdks(sdk_types: Callable[[str], set[str]]) -> None:
    assert set(FINDERS) - sdk_types("pulumi_github") == set()


def test_the_table_of_cases_covers_every_type_that_is_looked_for() -> None:
    repeated = {kind for kind, (needed, _) in FINDERS.items() if not needed}
    looked = {operation(kind).type for kind, _, _ in CASES}
    assert looked | repeated == set(FINDERS), json.dumps(sorted(set(FINDERS) - looked - repeated))


def test_the_workflows_default_permissions_are_set_again() -> None:
    assert look(operation("WorkflowRepositoryPermissions"), NONE, github({})) == Repeatable()
