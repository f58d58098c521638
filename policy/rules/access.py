"""What may not be public: buckets, and whatever else carries a policy of its own."""

from collections.abc import Iterator, Sequence

from policy.documents import statements
from policy.model import UNKNOWN, Data, Finding, Resource, at, each, holds, of_type, resource_rule, stack_rule

_BUCKETS = ("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
_ACLS = ("aws:s3/bucketAcl:BucketAcl", "aws:s3/bucketAclV2:BucketAclV2")
_BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
_ACCOUNT_BLOCK = "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock"
_PUBLIC_ACLS = {"public-read", "public-read-write", "authenticated-read"}  # the last: whoever has an AWS account
_PUBLIC_GROUPS = ("/global/AllUsers", "/global/AuthenticatedUsers")
_SETTINGS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


@resource_rule("no-public-bucket", "No bucket is public.", *_BUCKETS, *_ACLS, _BUCKET_POLICY, _BLOCK, _ACCOUNT_BLOCK)
def no_public_bucket(resource: Resource) -> Iterator[Finding]:
    """Public ACLs and policies, and a block of public access with a setting that is not on (their default is off)."""
    if resource.type in (_BLOCK, _ACCOUNT_BLOCK):
        off = [setting for setting in _SETTINGS if not holds(resource.get(setting))]
        if off:
            yield Finding(f"it does not set {', '.join(off)}", "set all four settings of the block to true")
        return
    acl = resource.get("acl")
    if isinstance(acl, str) and acl in _PUBLIC_ACLS:
        yield Finding(f"the ACL {acl} shows it to everyone", "leave `acl` out and let a bucket policy name who reads")
    if any(uri.endswith(_PUBLIC_GROUPS) for uri in _granted(resource)):
        yield Finding("a grant shows it to everyone", "leave the grant out and let a bucket policy name who reads")
    yield from _public_statements(resource)


def _granted(resource: Resource) -> list[str]:
    grants = [*each(resource.get("grants")), *each(resource.get("accessControlPolicy", "grants"))]
    addresses = [address for grant in grants for address in (at(grant, "uri"), at(grant, "grantee", "uri"))]
    return [address for address in addresses if isinstance(address, str)]


@stack_rule("bucket-public-access-block", "Every bucket blocks public access.", *_BUCKETS, _BLOCK)
def bucket_public_access_block(resources: Sequence[Resource]) -> Iterator[Finding]:
    """A bucket without a block of its own: AWS's default for new buckets can be taken off unseen."""
    blocks = of_type(resources, _BLOCK)
    for bucket in of_type(resources, *_BUCKETS):
        if not any(block.names("bucket", bucket, "bucket", "id") for block in blocks):
            yield Finding(
                "no BucketPublicAccessBlock names it",
                "add one for it with all four settings true",
                bucket.urn,
            )


_POLICY_CARRIERS = (
    "aws:ecr/registryPolicy:RegistryPolicy",
    "aws:ecr/repositoryPolicy:RepositoryPolicy",
    "aws:kms/key:Key",
    "aws:kms/keyPolicy:KeyPolicy",
    "aws:secretsmanager/secret:Secret",
    "aws:secretsmanager/secretPolicy:SecretPolicy",
    "aws:sns/topic:Topic",
    "aws:sns/topicPolicy:TopicPolicy",
    "aws:sqs/queue:Queue",
    "aws:sqs/queuePolicy:QueuePolicy",
)
_PERMISSION = "aws:lambda/permission:Permission"
_ROLE = "aws:iam/role:Role"


@resource_rule(
    "no-public-resource-policy",
    "No key, secret, queue, topic, registry, function or role is open to every AWS account.",
    *_POLICY_CARRIERS,
    _PERMISSION,
    _ROLE,
)
def no_public_resource_policy(resource: Resource) -> Iterator[Finding]:
    """Principal `*` without a condition that binds it to an account, an organisation or a resource."""
    if resource.type == _ROLE:
        yield from _public_statements(resource, "assumeRolePolicy", "trust policy")
    elif resource.type != _PERMISSION:
        yield from _public_statements(resource)
    elif resource.get("principal") == "*" and not any(
        _given(resource.get(bound)) for bound in ("sourceArn", "sourceAccount", "principalOrgId")
    ):
        yield Finding("everyone may invoke the function", "name the principal, or add sourceArn or principalOrgId")


def _given(value: Data) -> bool:
    return value is UNKNOWN or bool(value)


def _public_statements(resource: Resource, key: str = "policy", called: str = "policy") -> Iterator[Finding]:
    for statement in statements(resource.get(key)):
        if statement.public:
            yield Finding(
                f"statement {statement.label} of its {called} allows everyone",
                "name the principals, or bind them by a condition such as StringEquals aws:PrincipalOrgID",
            )
