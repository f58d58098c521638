"""Resources that break each rule, and others that keep it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policy.model import UNKNOWN, Resource

DIGEST = f"sha256:{'a' * 64}"
GITHUB = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
ISSUER = "token.actions.githubusercontent.com"
TAGS = {"owner": "platform", "environment": "dev", "project": "pavedpath"}


def resource(
    kind: str,
    logical: str = "it",
    stack: str = "dev",
    references: Mapping[str, frozenset[str]] | None = None,
    **props: Any,
) -> Resource:
    return Resource(kind, logical, f"urn:pulumi:{stack}::shop::{kind}::{logical}", props, references or {})


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: Any, resources: Any = "*", **more: Any) -> str:
    return document({"Effect": "Allow", "Action": actions, "Resource": resources, **more})


def everyone(**more: Any) -> str:
    return document({"Effect": "Allow", "Principal": "*", "Action": "x:Do", "Resource": "*", **more})


def trust(condition: Mapping[str, Any] | None = None, **more: Any) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": GITHUB},
        **more,
    }
    return document(statement | ({"Condition": condition} if condition is not None else {}))


def subjects(operator: str, *values: str, **claims: str) -> str:
    audience = {"ForAnyValue:StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com"}}
    others = {f"{ISSUER}:{claim}": value for claim, value in claims.items()}
    return trust({operator: {f"{ISSUER}:sub": list(values), **others}, **audience})


def assumable(principal: Any, condition: Mapping[str, Any] | None = None) -> str:
    return trust(condition, Action="sts:AssumeRole", Principal=principal)


@dataclass(frozen=True)
class Examples:
    """Each example is a stack's resources; `bad` says what the finding must name."""

    bad: Sequence[tuple[str, Sequence[Resource]]]
    good: Sequence[Sequence[Resource]] = field(default_factory=list[Sequence[Resource]])


def one(kind: str, stack: str = "dev", **props: Any) -> list[Resource]:
    return [resource(kind, stack=stack, **props)]


BUCKET, BLOCK = "aws:s3/bucket:Bucket", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
FOUR: dict[str, Any] = {
    "blockPublicAcls": True,
    "blockPublicPolicy": True,
    "ignorePublicAcls": True,
    "restrictPublicBuckets": True,
}
GROUP, ROLE = "aws:ec2/securityGroup:SecurityGroup", "aws:iam/role:Role"
GROUP_RULE, INGRESS = (
    "aws:ec2/securityGroupRule:SecurityGroupRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
)
TEMPLATE, INSTANCE = "aws:ec2/launchTemplate:LaunchTemplate", "aws:ec2/instance:Instance"
KEY, QUEUE, TOPIC = "aws:kms/key:Key", "aws:sqs/queue:Queue", "aws:sns/topic:Topic"
ROLE_POLICY, ATTACHMENT = "aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
REPOSITORY, RULESET = "github:index/repository:Repository", "github:index/repositoryRuleset:RepositoryRuleset"
PERMISSIONS = "github:index/actionsRepositoryPermissions:ActionsRepositoryPermissions"
FILE = "github:index/repositoryFile:RepositoryFile"
ENVIRONMENT = "github:index/repositoryEnvironment:RepositoryEnvironment"
DEPLOYMENT_POLICY = "github:index/repositoryEnvironmentDeploymentPolicy:RepositoryEnvironmentDeploymentPolicy"
RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET = "github:index/actionsEnvironmentSecret:ActionsEnvironmentSecret"
PERMISSION = "aws:lambda/permission:Permission"
EXACT = {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": "repo:acme/shop:environment:dev"}
IMDS = {"httpTokens": "required", "httpPutResponseHopLimit": 1.0}
RULES_OF_BRANCHES: dict[str, Any] = {
    "repository": "shop",
    "enforcement": "active",
    "target": "branch",
    "conditions": {"refName": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
}


def block(kind: str = BLOCK, **changed: Any) -> list[Resource]:
    given: dict[str, Any] = {**FOUR, **changed}
    return [resource(kind, **given)]


def ruleset(kind: str = RULESET, **changed: Any) -> Resource:
    given: dict[str, Any] = {**RULES_OF_BRANCHES, **changed}
    return resource(kind, **given)


def environment(name: Any = "prod", stack: str = "prod", **props: Any) -> Resource:
    given: dict[str, Any] = {"deploymentBranchPolicy": {"customBranchPolicies": True, "protectedBranches": False}}
    return resource(ENVIRONMENT, stack=stack, repository="shop", environment=name, **{**given, **props})


def deploys_from(branch: Any, **props: Any) -> Resource:
    given: dict[str, Any] = {"repository": "shop", "environment": "prod", "branchPattern": branch}
    return resource(DEPLOYMENT_POLICY, str(branch), stack="prod", **{**given, **props})


def release(values: Any = None, chart: str = "../charts/web", stack: str = "prod", **props: Any) -> list[Resource]:
    pinned: dict[str, Any] = {"image": {"repository": "r/shop", "digest": DIGEST}}
    return one(RELEASE, stack, chart=chart, values=pinned if values is None else values, **props)


def workflow(trigger: str, file: str = ".github/workflows/checks.yml") -> list[Resource]:
    return one(FILE, file=file, content=f"name: checks\n{trigger}\njobs: {{}}\n")


EXAMPLES: dict[str, Examples] = {
    "no-public-bucket": Examples(
        bad=[
            ("public-read", one(BUCKET, acl="public-read")),
            ("authenticated-read", one("aws:s3/bucketAcl:BucketAcl", acl="authenticated-read")),
            ("a grant", one(BUCKET, grants=[{"uri": "http://acs.amazonaws.com/groups/global/AllUsers"}])),
            (
                "a grant",
                one(
                    "aws:s3/bucketAclV2:BucketAclV2",
                    accessControlPolicy={
                        "grants": [{"grantee": {"uri": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}}]
                    },
                ),
            ),
            ("blockPublicPolicy, ignorePublicAcls", one(BLOCK, blockPublicAcls=True, restrictPublicBuckets=True)),
            ("public-read", one("aws:s3/bucketV2:BucketV2", acl="public-read")),
            ("does not set restrictPublicBuckets", block(restrictPublicBuckets=False)),
            ("allows everyone", one("aws:s3/bucketPolicy:BucketPolicy", policy=everyone())),
            ("statement Read", one(BUCKET, policy=everyone(Sid="Read"))),
            ("allows everyone", one(BUCKET, policy=everyone(Principal={"AWS": ["*"]}))),
            (
                "does not set blockPublicAcls",
                block("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock", blockPublicAcls="false"),
            ),
        ],
        good=[
            one(BUCKET, acl="private"),
            one(BUCKET, acl=UNKNOWN, grants=UNKNOWN, policy=UNKNOWN),
            block(),
            block(blockPublicAcls=UNKNOWN),
            one(BUCKET, policy=everyone(Effect="Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})),
            one(BUCKET, policy=everyone(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
        ],
    ),
    "bucket-public-access-block": Examples(
        bad=[
            ("no BucketPublicAccessBlock", one(BUCKET, bucket="logs")),
            ("no BucketPublicAccessBlock", [resource(BUCKET, bucket="logs"), resource(BLOCK, bucket="state")]),
            (
                "no BucketPublicAccessBlock",
                [
                    resource(BUCKET, bucket=UNKNOWN),
                    resource(BLOCK, references={"bucket": frozenset({"urn:other"})}, bucket=UNKNOWN),
                ],
            ),
        ],
        good=[
            [resource(BUCKET, bucket="logs"), resource(BLOCK, bucket="logs")],
            [resource(BUCKET, id="logs-1"), resource(BLOCK, bucket="logs-1")],
            [resource(BUCKET, bucket=UNKNOWN), resource(BLOCK, bucket=UNKNOWN)],
            [resource(BLOCK, bucket="elsewhere")],
        ],
    ),
    "no-public-resource-policy": Examples(
        bad=[
            *(
                ("trust policy allows everyone", one(ROLE, assumeRolePolicy=assumable(principal, condition)))
                for principal in ("*", {"AWS": "*"}, {"AWS": ["arn:aws:iam::1:root", "*"]}, {"Federated": "*"})
                for condition in (
                    None,
                    {"StringEquals": {"sts:ExternalId": "known-to-many"}},
                    {"StringNotEquals": {"aws:PrincipalOrgID": "o-acme"}},
                )
            ),
            ("allows everyone", one("aws:sqs/queuePolicy:QueuePolicy", policy=everyone())),
            ("allows everyone", one("aws:sns/topicPolicy:TopicPolicy", policy=everyone(Principal={"AWS": "*"}))),
            ("allows everyone", one(KEY, policy=everyone())),
            ("allows everyone", one("aws:secretsmanager/secretPolicy:SecretPolicy", policy=everyone())),
            ("allows everyone", one("aws:ecr/repositoryPolicy:RepositoryPolicy", policy=everyone())),
            ("allows everyone", one(QUEUE, policy=document({"Effect": "Allow", "NotPrincipal": {"AWS": "1"}}))),
            ("allows everyone", one(QUEUE, policy=everyone(Condition={"StringLike": {"aws:PrincipalOrgID": "*"}}))),
            (
                "allows everyone",
                one(QUEUE, policy=everyone(Condition={"StringEqualsIfExists": {"aws:SourceAccount": "1"}})),
            ),
            ("allows everyone", one(QUEUE, policy=everyone(Condition={"StringNotEquals": {"aws:SourceAccount": "1"}}))),
            (
                "allows everyone",
                one(QUEUE, policy=everyone(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}})),
            ),
            ("allows everyone", one(QUEUE, policy=everyone(Condition={"IpAddress": {"aws:SourceIp": ["0.0.0.0/0"]}}))),
            ("everyone may invoke", one(PERMISSION, principal="*", action="lambda:InvokeFunction")),
        ],
        good=[
            one(ROLE, assumeRolePolicy=assumable({"AWS": "*"}, {"StringEquals": {"aws:PrincipalOrgID": "o-acme"}})),
            one(ROLE, assumeRolePolicy=assumable({"AWS": "arn:aws:iam::123456789012:root"})),
            one(ROLE, assumeRolePolicy=assumable({"Service": "ec2.amazonaws.com"})),
            one(ROLE, assumeRolePolicy=UNKNOWN),
            one(
                KEY,
                policy=document({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}, "Action": "kms:*"}),
            ),
            one(QUEUE, policy=everyone(Condition={"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::logs"}})),
            one(QUEUE, policy=everyone(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:123456789012:*"}})),
            one(QUEUE, policy=UNKNOWN),
            one(TOPIC, policy="not a document"),
            one(PERMISSION, principal="*", principalOrgId="o-1"),
            one(PERMISSION, principal="*", sourceArn=UNKNOWN),
            one(PERMISSION, principal="s3.amazonaws.com"),
        ],
    ),
    "no-open-ingress": Examples(
        bad=[
            (
                "port 22 is open to 0.0.0.0/0",
                one(
                    GROUP,
                    ingress=[
                        {"protocol": "tcp", "fromPort": 22.0, "toPort": 22.0, "cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"]}
                    ],
                ),
            ),
            (
                "every port is open to ::/0",
                one(GROUP, ingress=[{"protocol": "-1", "fromPort": 0, "toPort": 0, "ipv6CidrBlocks": ["::/0"]}]),
            ),
            ("0.0.0.0/1", one(GROUP, ingress=[{"cidrBlocks": ["0.0.0.0/1", "128.0.0.0/1"]}])),
            (
                "0.0.0.0/0",
                one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", ingress=[{"cidrBlocks": ["0.0.0.0/0"]}]),
            ),
            (
                "ports 80 to 443",
                one(GROUP_RULE, type="ingress", protocol="tcp", fromPort=80, toPort=443, cidrBlocks=["0.0.0.0/0"]),
            ),
            ("::/0", one(GROUP_RULE, type="ingress", ipv6CidrBlocks=["::/0"])),
            (
                "port 443 is open to 0.0.0.0/0",
                one(INGRESS, ipProtocol="tcp", fromPort=443, toPort=443, cidrIpv4="0.0.0.0/0"),
            ),
            ("2000::/3", one(INGRESS, cidrIpv6="2000::/3")),
        ],
        good=[
            one(
                GROUP,
                ingress=[{"cidrBlocks": ["10.0.0.0/8", UNKNOWN], "self": True}],
                egress=[{"cidrBlocks": ["0.0.0.0/0"]}],
            ),
            one(GROUP, ingress=UNKNOWN),
            one(GROUP, ingress=[UNKNOWN, {"cidrBlocks": UNKNOWN}]),
            one(GROUP_RULE, type="egress", cidrBlocks=["0.0.0.0/0"]),
            one(INGRESS, cidrIpv4="203.0.113.0/24"),
            one(INGRESS, cidrIpv6="fc00::/7"),
            one(INGRESS, cidrIpv4=UNKNOWN),
            one(INGRESS, referencedSecurityGroupId="sg-1"),
        ],
    ),
    "imdsv2-required": Examples(
        bad=[
            ("IMDSv1", one(TEMPLATE)),
            ("IMDSv1", one(TEMPLATE, metadataOptions={**IMDS, "httpTokens": "optional"})),
            ("containers", one(TEMPLATE, metadataOptions={"httpTokens": "required"})),
            ("containers", one(INSTANCE, metadataOptions={**IMDS, "httpPutResponseHopLimit": 2})),
            ("IMDSv1", one("aws:ec2/launchConfiguration:LaunchConfiguration")),
            ("IMDSv1", one(INSTANCE, launchTemplate={"id": "lt-1"}, metadataOptions={"httpPutResponseHopLimit": 1})),
        ],
        good=[
            one(TEMPLATE, metadataOptions=IMDS),
            one(TEMPLATE, metadataOptions={"httpEndpoint": "disabled"}),
            one(TEMPLATE, metadataOptions=UNKNOWN),
            one(TEMPLATE, metadataOptions={"httpTokens": UNKNOWN, "httpPutResponseHopLimit": UNKNOWN}),
            one(INSTANCE, launchTemplate={"id": "lt-1"}),
        ],
    ),
    "encryption-at-rest": Examples(
        bad=[
            ("root volume", one(TEMPLATE)),
            ("/dev/xvda is not encrypted", one(TEMPLATE, blockDeviceMappings=[{"deviceName": "/dev/xvda", "ebs": {}}])),
            (
                "/dev/b",
                one(
                    TEMPLATE,
                    blockDeviceMappings=[
                        {"deviceName": "/dev/a", "ebs": {"encrypted": "true"}},
                        {"deviceName": "/dev/b", "ebs": {"encrypted": "false"}},
                    ],
                ),
            ),
            ("rootBlockDevice", one(INSTANCE, rootBlockDevice={"volumeSize": 8})),
            ("ebsBlockDevices", one(INSTANCE, ebsBlockDevices=[{"encrypted": False}])),
            ("does not rotate", one(KEY)),
            ("does not rotate", one(KEY, enableKeyRotation=False, customerMasterKeySpec="SYMMETRIC_DEFAULT")),
            ("switched off", one(QUEUE, sqsManagedSseEnabled=False)),
            ("not encrypted", one(TOPIC)),
            ("set storageEncrypted", one("aws:rds/instance:Instance")),
            ("set encryptAtRest.enabled", one("aws:opensearch/domain:Domain", encryptAtRest={"enabled": False})),
            ("set encrypted to true", one("aws:efs/fileSystem:FileSystem")),
        ],
        good=[
            one(
                TEMPLATE,
                blockDeviceMappings=[
                    {"deviceName": "/dev/a", "ebs": {"encrypted": "true"}},
                    {"deviceName": "/dev/b", "noDevice": ""},
                ],
            ),
            one(TEMPLATE, blockDeviceMappings=UNKNOWN),
            one(TEMPLATE, blockDeviceMappings=[{"deviceName": "/dev/a", "ebs": {"encrypted": UNKNOWN}}]),
            one(INSTANCE),
            one(KEY, enableKeyRotation=True),
            one(KEY, enableKeyRotation=UNKNOWN),
            one(KEY, customerMasterKeySpec="RSA_4096", keyUsage="SIGN_VERIFY"),
            one(KEY, keyUsage="GENERATE_VERIFY_MAC"),
            one(QUEUE),
            one(QUEUE, kmsMasterKeyId="alias/x", sqsManagedSseEnabled=False),
            one(TOPIC, kmsMasterKeyId=UNKNOWN),
            one("aws:rds/cluster:Cluster", storageEncrypted=True),
        ],
    ),
    "no-wildcard-permissions": Examples(
        bad=[
            ("allows * on every resource", one(ROLE_POLICY, policy=allow("*"))),
            (
                "statement Do allows s3:*",
                one("aws:iam/policy:Policy", policy=allow(["s3:*", "s3:GetObject"], ["arn:aws:s3:::*"], Sid="Do")),
            ),
            ("s3:Get*", one(ROLE_POLICY, policy=allow("s3:Get*"))),
            ("iam:*", one(ROLE, inlinePolicies=[{"policy": allow("iam:*")}])),
            (
                "every action but iam:*",
                one(ROLE_POLICY, policy=document({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})),
            ),
            (
                "s3:*",
                one(
                    ROLE_POLICY, policy=document({"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::x"})
                ),
            ),
            (
                "ec2:*",
                one(
                    ROLE_POLICY,
                    policy=json.dumps(
                        {"statement": {"effect": "allow", "action": "ec2:*", "resource": "arn:aws:ec2:*:*:*"}}
                    ),
                ),
            ),
            ("AdministratorAccess", one(ATTACHMENT, policyArn="arn:aws:iam::aws:policy/AdministratorAccess")),
            ("AmazonS3FullAccess", one(ROLE, managedPolicyArns=["arn:aws:iam::aws:policy/AmazonS3FullAccess"])),
            ("kms:*", one("aws:iam/userPolicy:UserPolicy", policy=allow("kms:*"))),
        ],
        good=[
            one(ROLE_POLICY, policy=allow(["ecr:GetAuthorizationToken"])),
            one(ROLE_POLICY, policy=allow(["ec2:Describe*", "s3:List*"])),
            one(ROLE_POLICY, policy=allow("s3:*", ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"])),
            one(ROLE_POLICY, policy=document({"Effect": "Deny", "Action": "*", "Resource": "*"})),
            one(ROLE_POLICY, policy=UNKNOWN),
            one(ROLE, inlinePolicies=UNKNOWN, managedPolicyArns=[UNKNOWN]),
            one(ATTACHMENT, policyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"),
            one(ATTACHMENT, policyArn=UNKNOWN),
        ],
    ),
    "no-wildcard-repository-trust": Examples(
        bad=[
            ("no condition on the subject", one(ROLE, assumeRolePolicy=trust())),
            (
                "no condition on the subject",
                one(ROLE, assumeRolePolicy=trust({"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com"}})),
            ),
            (
                "no condition on the audience",
                one(
                    ROLE, assumeRolePolicy=trust({"StringEquals": {f"{ISSUER}:sub": "repo:acme/shop:environment:dev"}})
                ),
            ),
            ("leaves the repository open", one(ROLE, assumeRolePolicy=subjects("StringLike", "repo:acme/*"))),
            (
                "leaves the repository open",
                one(ROLE, assumeRolePolicy=subjects("StringLike", "repo:acme/*:environment:prod")),
            ),
            ("leaves the repository open", one(ROLE, assumeRolePolicy=subjects("StringLike", "repo:acme/shop*:ref:x"))),
            ("leaves the repository open", one(ROLE, assumeRolePolicy=subjects("StringLike", "repo:acme@1/sho?@2:*"))),
            ("leaves the repository open", one(ROLE, assumeRolePolicy=subjects("StringLike", "repo:acme/shop:x", "*"))),
            # Formats that an organisation may choose for its subjects; any other one can choose the same.
            *(
                ("leaves the repository open", one(ROLE, assumeRolePolicy=subjects("StringEquals", subject)))
                for subject in (
                    "environment:prod",
                    "ref:refs/heads/main",
                    "repo:acme",
                    "repository_owner:acme:environment:prod",
                    "myrepo:acme/shop:environment:prod",
                    "repository_id:*:environment:prod",
                )
            ),
            (
                "leaves the repository open",
                one(ROLE, assumeRolePolicy=subjects("StringLike", "*:repo:acme/shop:environment:prod")),
            ),
            (
                "leaves the repository open",
                one(ROLE, assumeRolePolicy=subjects("StringEquals", "environment:prod", repository="acme/*")),
            ),
            (
                "leaves the repository open",
                one(ROLE, assumeRolePolicy=subjects("StringEquals", "environment:prod", repository_owner="acme")),
            ),
            (
                "leaves the repository open",
                one(ROLE, assumeRolePolicy=subjects("StringEquals", "repo:*/shop:environment:x")),
            ),
            (
                "no condition on the subject",
                one(ROLE, assumeRolePolicy=subjects("ForAllValues:StringLike", "repo:acme/shop:*")),
            ),
            ("no condition on the subject", one(ROLE, assumeRolePolicy=subjects("StringNotLike", "repo:evil/*"))),
            (
                "no condition on the subject",
                one(
                    ROLE,
                    assumeRolePolicy=trust(
                        Principal={"Federated": "arn:aws:iam::1:oidc-provider/ghe.acme.com/_services/token"}
                    ),
                ),
            ),
        ],
        good=[
            one(
                ROLE,
                assumeRolePolicy=subjects(
                    "StringEquals", "repo:acme/shop:environment:dev", "repo:acme@1/shop@2:environment:dev"
                ),
            ),
            one(ROLE, assumeRolePolicy=subjects("StringLike", "repo:acme/shop:*")),
            one(ROLE, assumeRolePolicy=subjects("StringEquals", "repository_owner_id:1:repository_id:2")),
            one(ROLE, assumeRolePolicy=subjects("StringEquals", "repository:acme/shop:environment:prod")),
            one(ROLE, assumeRolePolicy=subjects("StringEquals", "environment:prod", repository_id="2")),
            one(ROLE, assumeRolePolicy=subjects("StringEquals", "environment:prod", repository="acme/shop")),
            one(ROLE, assumeRolePolicy=subjects("ForAnyValue:StringLike", "repo:acme/shop:ref:refs/tags/v*")),
            one(ROLE, assumeRolePolicy=UNKNOWN),
            one(
                ROLE,
                assumeRolePolicy=document(
                    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
                ),
            ),
            one(ROLE, assumeRolePolicy=trust(Effect="Deny")),
            one(
                ROLE,
                assumeRolePolicy=trust(
                    {
                        "StringEquals": {
                            f"{ISSUER}:aud": "sts.amazonaws.com",
                            f"{ISSUER}:sub": "repo:acme/shop:environment:dev",
                        }
                    }
                ),
            ),
            one(ROLE, assumeRolePolicy=trust(Principal={"Federated": "cognito-identity.amazonaws.com"})),
        ],
    ),
    "no-stored-aws-keys": Examples(
        bad=[
            ("does not expire", one("aws:iam/accessKey:AccessKey", user="ci")),
            ("AWS_SECRET_ACCESS_KEY is", one(SECRET, secretName="AWS_SECRET_ACCESS_KEY", value="hush")),
            (
                "prod_aws_access_key_id is",
                one("github:index/actionsSecret:ActionsSecret", secretName="prod_aws_access_key_id"),
            ),
            (
                "AWS_ACCESS_KEY_ID",
                one("github:index/actionsVariable:ActionsVariable", variableName="AWS_ACCESS_KEY_ID"),
            ),
        ],
        good=[
            one(SECRET, secretName="KUBECONFIG_SHOP", value="hush"),
            one(SECRET, secretName=UNKNOWN),
            one(SECRET, secretName="AWS_DEPLOY_ROLE"),
        ],
    ),
    "repository-ruleset": Examples(
        bad=[
            ("no active ruleset", one(REPOSITORY, name="shop")),
            ("no active ruleset", [resource(REPOSITORY, name="shop"), ruleset(repository="other")]),
            ("no active ruleset", [resource(REPOSITORY, name="shop"), ruleset(enforcement="evaluate")]),
            ("no active ruleset", [resource(REPOSITORY, name="shop"), ruleset(target="tag")]),
            (
                "no active ruleset",
                [resource(REPOSITORY, name="shop"), ruleset(conditions={"refName": {"includes": []}})],
            ),
            (
                "no active ruleset",
                [
                    resource(REPOSITORY, name="shop"),
                    ruleset(
                        "github:index/organizationRuleset:OrganizationRuleset",
                        conditions={"refName": {"includes": ["~ALL"]}, "repositoryName": {"includes": ["other"]}},
                    ),
                ],
            ),
        ],
        good=[
            [resource(REPOSITORY, name="shop"), ruleset()],
            [resource(REPOSITORY, name="shop"), ruleset(repository=UNKNOWN)],
            [resource(REPOSITORY, name="old", archived=True)],
            [
                resource(REPOSITORY, name="shop"),
                ruleset(
                    "github:index/organizationRuleset:OrganizationRuleset",
                    conditions={"refName": {"includes": ["~ALL"]}, "repositoryName": {"includes": ["~ALL"]}},
                ),
            ],
            [resource(REPOSITORY, name="shop"), ruleset(conditions=UNKNOWN, target=UNKNOWN, enforcement=UNKNOWN)],
        ],
    ),
    "actions-pinned-by-sha": Examples(
        bad=[
            ("a tag that somebody moves", one(REPOSITORY, name="shop")),
            (
                "a tag that somebody moves",
                [resource(REPOSITORY, name="shop"), resource(PERMISSIONS, repository="shop")],
            ),
            (
                "a tag",
                [resource(REPOSITORY, name="shop"), resource(PERMISSIONS, repository="other", shaPinningRequired=True)],
            ),
        ],
        good=[
            [resource(REPOSITORY, name="shop"), resource(PERMISSIONS, repository="shop", shaPinningRequired=True)],
            [resource(REPOSITORY, name="shop"), resource(PERMISSIONS, repository=UNKNOWN, shaPinningRequired=UNKNOWN)],
            [resource(REPOSITORY, name="shop"), resource(PERMISSIONS, repository="shop", enabled=False)],
            [resource(REPOSITORY, name="old", archived=True)],
        ],
    ),
    "no-pull-request-target": Examples(
        bad=[
            ("pull_request_target", workflow("on: pull_request_target")),
            ("pull_request_target", workflow("on: [push, pull_request_target]")),
            ("pull_request_target", workflow("on:\n  pull_request_target:\n    branches: [main]")),
            ("pull_request_target", workflow("on:\n  - 'pull_request_target'")),
            ("pull_request_target", workflow("on:\n  push: {}\n  pull_request_target: {types: [opened]}")),
            ("pull_request_target", workflow("on:\n  [push, pull_request_target]")),
            ("pull_request_target", workflow("on:\n  pull_request_target # forks too")),
            ("pull_request_target", workflow('"on": {"pull_request_target": {}}')),
        ],
        good=[
            workflow("on: pull_request"),
            workflow("on: push # never pull_request_target"),
            workflow("on: push\nenv:\n  WHY: ${{ github.event_name == 'pull_request_target' }}"),
            workflow("on: pull_request_target", file="docs/workflows.md"),
            one(FILE, file=".github/workflows/x.yml", content=UNKNOWN),
        ],
    ),
    "production-approval": Examples(
        bad=[
            ("deploy/prod", [environment()]),
            ("neither", [environment(deploymentBranchPolicy=None), deploys_from("deploy/prod")]),
            ("neither", [environment(), deploys_from("main")]),
            ("neither", [environment(), deploys_from("deploy/prod"), deploys_from("main")]),
            ("neither", [environment(), deploys_from("deploy/prod"), deploys_from(None, tagPattern="v*")]),
            ("neither", [environment(), deploys_from("deploy/prod", repository="other")]),
            ("neither", [environment(), deploys_from("deploy/prod", environment="dev")]),
            ("neither", [environment(reviewers=[{"users": [], "teams": []}])]),
            ("neither", [environment("production", stack="shared")]),
            ("neither", [environment("blue", stack="prod-eu")]),
        ],
        good=[
            [environment(reviewers=[{"teams": [7]}])],
            [environment(reviewers=UNKNOWN)],
            [environment(reviewers=[{"users": UNKNOWN}])],
            [environment(), deploys_from("deploy/prod")],
            [environment(), deploys_from(UNKNOWN, repository=UNKNOWN)],
            [environment("dev", stack="dev")],
            [environment(UNKNOWN, stack="dev")],
        ],
    ),
    "required-tags": Examples(
        bad=[
            ("no tag owner, environment, project", one(BUCKET)),
            ("no tag project", one(BUCKET, tags={**TAGS, "project": ""})),
            (
                "no tag owner",
                one("aws:ec2/vpc:Vpc", tags={key: value for key, value in TAGS.items() if key != "owner"}),
            ),
            (
                "no tag environment",
                one(
                    "aws:autoscaling/group:Group",
                    tags=[{"key": "owner", "value": "x"}, {"key": "project", "value": "x"}],
                ),
            ),
        ],
        good=[
            one(BUCKET, tags={**TAGS, "Name": "x"}),
            one(BUCKET, tags=UNKNOWN),
            one(BUCKET, tags={**TAGS, "owner": UNKNOWN}),
            one("aws:autoscaling/group:Group", tags=[{"key": key, "value": value} for key, value in TAGS.items()]),
            one("aws:autoscaling/group:Group", tags=[UNKNOWN]),
            one("aws:iam/rolePolicy:RolePolicy"),
        ],
    ),
    "release-pinned-by-digest": Examples(
        bad=[
            ("values.image has", release({"image": {"repository": "r/shop", "tag": "1.2"}})),
            ("values.image has", release({"image": "r/shop:1.2"})),
            ("values.image has", release({"image": {"name": "shop", "tag": "1"}})),
            ("values.image has", release({"image": {"repository": "r/shop", "digest": "sha256:abc"}})),
            (
                "values.api.image has",
                release({"api": {"image": {"repository": "r/shop", "tag": "1"}}, "image": f"r@{DIGEST}"}),
            ),
            ("values.sidecars[1].image", release({"sidecars": [{"image": f"r@{DIGEST}"}, {"image": "r:1"}]})),
            ("values.initImage", release({"initImage": "busybox"})),
            ("values.proxy has", release({"proxy": {"repository": "envoy", "tag": "1"}})),
            ("its chart", release(chart="web", repositoryOpts={"repo": "https://charts.example.com"})),
            ("its chart", release(chart="bitnami/web")),
            ("its chart", release(chart="oci://r.example.com/charts/web")),
            ("its chart", release(chart="https://example.com/web-1.0.tgz")),
            ("in files", release(valueYamlFiles=["x"])),
        ],
        good=[
            release(),
            release({"image": f"r.example.com/shop:1@{DIGEST}"}),
            release({"image": {"repository": "r/shop", "tag": f"1@{DIGEST}"}}),
            release({"image": {"repository": f"r/shop@{DIGEST}"}}),
            release({"image": {"repository": "r/shop", "tag": "1", "sha": "b" * 64}}),
            release({"image": {"pullPolicy": "Always"}, "imagePullSecrets": [{"name": "x"}], "repository": "git"}),
            release({"image": {"repository": "r/shop", "digest": UNKNOWN}}),
            release({"image": {"repository": "r/shop", "tag": UNKNOWN}}),
            release({"image": UNKNOWN, "sidecars": [UNKNOWN]}),
            release(UNKNOWN, chart="/cache/web-1.0.tgz"),
            release(chart=f"oci://r.example.com/charts/web@{DIGEST}"),
            release({"image": "r/shop:1.2"}, stack="dev", chart="bitnami/web"),
        ],
    ),
}
"""By the name of the rule; those that keep it include values that are not known yet."""
