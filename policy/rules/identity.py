"""What identities may do, and who may become one."""

import re
from collections.abc import Iterator, Sequence

from policy.documents import Statement, any_resource, statements, wild
from policy.model import Finding, Resource, at, each, resource_rule

_ROLE = "aws:iam/role:Role"
_INLINE = (
    "aws:iam/groupPolicy:GroupPolicy",
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
)
_ATTACHMENTS = (
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
)
_SWEEPING = re.compile(r"arn:aws[\w-]*:iam::aws:policy/(?:.*/)?(AdministratorAccess|PowerUserAccess|\w*FullAccess)$")
_ISSUERS = ("token.actions.githubusercontent.com", "/_services/token")  # github.com's, and an Enterprise Server's
# A repository in a subject of any format: an organisation chooses the claims, GitHub writes a colon in a value as %3A.
# Source: GitHub, "OpenID Connect reference", "Customizing the subject claims".
_REPOSITORY_FIXED = re.compile(r"(?:[^*?]*:)?(?:(?:repo|repository):[^:/*?]+/[^:/*?]+|repository_id:[0-9]+)(?=:|$)")
_REPOSITORY_CLAIMS = {":repository": re.compile(r"[^:/*?]+/[^:/*?]+"), ":repository_id": re.compile(r"[0-9]+")}


@resource_rule(
    "no-wildcard-permissions", "No identity may do everything with everything.", _ROLE, *_INLINE, *_ATTACHMENTS
)
def no_wildcard_permissions(resource: Resource) -> Iterator[Finding]:
    """Wildcard actions on wildcard resources, and AWS's own policies that amount to it.

    `Describe*` and `List*` pass: most of them take no resource, and they show no content.
    """
    policies = [resource.get("policy")] if resource.type in _INLINE else []
    policies += [at(inline, "policy") for inline in each(resource.get("inlinePolicies"))]
    for statement in (found for document in policies for found in statements(document)):
        if actions := _sweeping_actions(statement):
            yield Finding(
                f"statement {statement.label} allows {actions}",
                "name the actions that are used, and the resources that they are used on",
            )
    for arn in (*each(resource.get("managedPolicyArns")), *each(resource.get("policyArn"))):
        if isinstance(arn, str) and (named := _SWEEPING.match(arn)):
            yield Finding(
                f"it has AWS's policy {named[1]}", "write a policy of the actions and resources that are used"
            )


def _sweeping_actions(statement: Statement) -> str:
    everything = any(map(any_resource, statement.resources)) or bool(statement.not_resources)
    if not statement.allows or not everything:
        return ""
    if statement.not_actions:
        return f"every action but {', '.join(statement.not_actions)} on every resource"
    loose = [action for action in statement.actions if wild(action) and not _only_describes(action)]
    return f"{', '.join(loose)} on every resource" if loose else ""


def _only_describes(action: str) -> bool:
    service, _, verb = action.lower().partition(":")
    return not wild(service) and verb.startswith(("describe", "list"))


@resource_rule(
    "no-wildcard-repository-trust", "Only named repositories become a role through GitHub's OIDC provider.", _ROLE
)
def no_wildcard_repository_trust(resource: Resource) -> Iterator[Finding]:
    """A trust policy that leaves the repository open, or that states no subject or no audience.

    Without a repository in it even an exact subject is everybody's: any organisation can choose a format such as
    `environment:NAME`. `job_workflow_ref` is not enough: every repository may call a public reusable workflow.
    """
    for statement in statements(resource.get("assumeRolePolicy")):
        if not statement.allows or not _is_github(statement):
            continue
        label = f"statement {statement.label} of its trust policy"
        subjects = _bound(statement, ":sub")
        if not subjects:
            yield Finding(
                f"{label} has no condition on the subject: every repository of GitHub may assume the role", _FIX
            )
        elif not _names_repository(statement, subjects):
            yield Finding(f"{label} leaves the repository open", _FIX)
        if not any(not any(map(wild, values)) for values in _bound(statement, ":aud")):
            yield Finding(
                f"{label} has no condition on the audience",
                "add StringEquals on the issuer's `:aud` with the audience, sts.amazonaws.com",
            )


_FIX = "state StringEquals on the issuer's `:sub` with exact subjects, such as repo:ORG/REPO:environment:NAME"


def _is_github(statement: Statement) -> bool:
    mentioned = [
        *(who for kind in statement.principals.values() for who in kind),
        *(c.key for c in statement.conditions),
    ]
    return any(issuer in text.lower() for text in mentioned for issuer in _ISSUERS)


def _bound(statement: Statement, claim: str) -> list[list[str]]:
    """Return the values of each condition that binds a claim; all of the conditions must be met, one value of each."""
    found = (condition for condition in statement.conditions if condition.binds and condition.key.endswith(claim))
    return [list(condition.values) for condition in found if condition.values]


def _names_repository(statement: Statement, subjects: Sequence[Sequence[str]]) -> bool:
    """Whether every subject, or another claim, fixes one repository."""
    if any(all(map(_REPOSITORY_FIXED.match, values)) for values in subjects):
        return True
    return any(
        all(map(exact.fullmatch, values))
        for claim, exact in _REPOSITORY_CLAIMS.items()
        for values in _bound(statement, claim)
    )


_SECRETS = (
    "github:index/actionsEnvironmentSecret:ActionsEnvironmentSecret",
    "github:index/actionsOrganizationSecret:ActionsOrganizationSecret",
    "github:index/actionsSecret:ActionsSecret",
    "github:index/codespacesSecret:CodespacesSecret",
    "github:index/dependabotSecret:DependabotSecret",
)
_VARIABLES = (
    "github:index/actionsEnvironmentVariable:ActionsEnvironmentVariable",
    "github:index/actionsOrganizationVariable:ActionsOrganizationVariable",
    "github:index/actionsVariable:ActionsVariable",
)
_ACCESS_KEY = "aws:iam/accessKey:AccessKey"
_KEY_NAME = re.compile(r"(^|_)AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)($|_)", re.IGNORECASE)


@resource_rule(
    "no-stored-aws-keys", "No AWS credentials are stored where jobs read them.", *_SECRETS, *_VARIABLES, _ACCESS_KEY
)
def no_stored_aws_keys(resource: Resource) -> Iterator[Finding]:
    """Access keys of users, and secrets or variables of GitHub that are named like AWS credentials."""
    fix = "let the workflow assume a role through OIDC (DeployRole)"
    if resource.type == _ACCESS_KEY:
        yield Finding("it is a credential that does not expire", fix)
        return
    name = resource.get("secretName") or resource.get("variableName")
    if isinstance(name, str) and _KEY_NAME.search(name):
        yield Finding(f"{name} is an AWS credential", fix)
