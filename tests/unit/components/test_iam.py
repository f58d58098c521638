import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.iam import Statement, identity_policy, service_trust, web_identity_trust
from pavedpath.names import GIT_REF
from pavedpath.oidc import AUDIENCE, ISSUER, claims, deploy_statements, subjects

arns = st.lists(st.from_regex(r"arn:aws:[a-z]{2,5}:us-east-1:\d{12}:[a-z/]{1,20}", fullmatch=True), max_size=4)


@given(arns, arns)
def test_a_deploy_role_reaches_only_what_is_named(repositories: list[str], keys: list[str]) -> None:
    policy = json.loads(identity_policy(deploy_statements(repositories, keys)))
    reached = {resource for statement in policy["Statement"] for resource in statement["Resource"]}
    assert reached == {*repositories, *keys, *(["*"] if repositories else [])}
    wide = [statement["Action"] for statement in policy["Statement"] if "*" in statement["Resource"]]
    assert wide in ([], [["ecr:GetAuthorizationToken"]])


def test_any_resource_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Statement("Wide", ["s3:GetObject"], ["*"])


@pytest.mark.parametrize("action", ["*", "s3:*"])
def test_a_wildcard_action_is_refused(action: str) -> None:
    with pytest.raises(ValueError, match="wildcard action"):
        Statement("Wide", [action], ["arn:aws:s3:::bucket"])


@pytest.mark.parametrize("subjects", [[], ["repo:acme/*:environment:dev"], ["repo:acme/sho?:ref:x"]])
def test_trust_takes_exact_subjects_only(subjects: list[str]) -> None:
    with pytest.raises(ValueError, match="exact subjects"):
        web_identity_trust("arn", "aud", "issuer", subjects)


@pytest.mark.parametrize("resource", ["*", "arn:aws:s3:::*", "arn:aws:kms:us-east-1:123456789012:*"])
def test_any_resource_takes_no_wildcard_action_whatever_the_reason(resource: str) -> None:
    Statement("Wide", ["s3:GetObject"], [resource], any_resource_because="a reason")
    with pytest.raises(ValueError, match="wildcard action on a wildcard resource"):
        Statement("Wide", ["s3:Get*"], [resource], any_resource_because="a reason")
    with pytest.raises(ValueError, match="needs a reason"):
        Statement("Wide", ["s3:GetObject"], [resource])


def test_a_service_assumes_a_role_for_one_accounts_resources_alone() -> None:
    (statement,) = json.loads(service_trust("x.amazonaws.com", "123456789012", "arn:x"))["Statement"]
    assert statement["Principal"] == {"Service": ["x.amazonaws.com"]}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:x"},
    }


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
refs = st.lists(st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True), max_size=3)


@given(names, names, st.none() | names, refs, refs, st.booleans(), st.data())
def test_trust_holds_for_the_stated_jobs_and_for_no_other(
    owner: str,
    repository: str,
    environment: str | None,
    branches: list[str],
    tags: list[str],
    pull_requests: bool,
    data: st.DataObject,
) -> None:
    trusted = claims(environment, branches, tags, pull_requests=pull_requests)
    if not trusted:
        return
    policy = json.loads(web_identity_trust("arn", AUDIENCE, ISSUER, subjects(owner, 7, repository, 8, trusted)))
    allowed = policy["Statement"][0]["Condition"]["StringEquals"][f"{ISSUER}:sub"]
    assert len(allowed) == 2 * len(trusted)

    job_owner, job_repository = data.draw(st.sampled_from([owner, "x" + owner])), data.draw(names)
    job = data.draw(st.sampled_from([*trusted, "pull_request", "ref:refs/heads/other", "environment:other"]))
    for format_ in ("repo:{0}/{1}:{2}", "repo:{0}@7/{1}@8:{2}"):
        stated = job_owner == owner and job_repository == repository and job in trusted
        assert (format_.format(job_owner, job_repository, job) in allowed) == stated
        assert format_.format(owner, repository, trusted[0]) in allowed
    assert f"repo:{owner}@7/{repository}@9:{trusted[0]}" not in allowed


@given(st.text(max_size=30))
def test_a_ref_that_passes_is_one_line_without_wildcards(name: str) -> None:
    if not list(GIT_REF.check("branches", name)):
        assert name.isprintable() or not name.isascii()
        assert not set(name) & set("*?[]:^~\\ ") - {"]"}
        assert not name.startswith("/")
        assert not name.endswith(("/", "."))
