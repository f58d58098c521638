"""The rules. A function over one resource, or over all of a stack; each finding says what is wrong and its fix."""

from policy.model import Rule
from policy.rules import access, applications, encryption, github, identity, instances, network, tags

RULES: tuple[Rule, ...] = (
    access.no_public_bucket,
    access.bucket_public_access_block,
    access.no_public_resource_policy,
    network.no_open_ingress,
    instances.imdsv2_required,
    encryption.encryption_at_rest,
    identity.no_wildcard_permissions,
    identity.no_wildcard_repository_trust,
    identity.no_stored_aws_keys,
    github.repository_ruleset,
    github.actions_pinned_by_sha,
    github.no_pull_request_target,
    github.production_approval,
    tags.required_tags,
    applications.release_pinned_by_digest,
)
