"""The resources of the stacks shared and dev written by hand: no components, no settings, no checks.

It is what `make bench` compares with, so it registers what the program registers and nothing else.
"""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import yaml

ROOT = Path(os.environ.get("PAVEDPATH_BENCH_ROOT", Path(__file__).resolve().parents[2]))
STACK = pulumi.get_stack()
ISSUER = "token.actions.githubusercontent.com"


def tags(name: str) -> dict[str, str]:
    return {"Name": name, "project": "pavedpath", "environment": STACK, "owner": "platform"}


def shared() -> None:
    organization = github.get_organization_output(name="acme", summary_only=True)
    repository = github.Repository(
        "storefront",
        name="storefront",
        description="The shop's front end and its API",
        visibility="private",
        topics=["storefront", "helm"],
        auto_init=True,
        has_issues=True,
        has_projects=False,
        has_wiki=False,
        allow_merge_commit=False,
        allow_rebase_merge=False,
        allow_squash_merge=True,
        allow_update_branch=True,
        delete_branch_on_merge=True,
    )
    github.RepositoryVulnerabilityAlerts("storefront", repository=repository.name, enabled=True)
    github.WorkflowRepositoryPermissions(
        "storefront",
        repository=repository.name,
        default_workflow_permissions="read",
        can_approve_pull_request_reviews=False,
    )
    github.ActionsRepositoryPermissions(
        "storefront", repository=repository.name, allowed_actions="all", sha_pinning_required=True
    )
    file = github.RepositoryFile(
        "storefront-checks",
        repository=repository.name,
        branch="main",
        file=".github/workflows/checks.yml",
        content="name: checks\non: [push]\njobs: {}\n",
        commit_message="Write the checks workflow",
        overwrite_on_create=True,
    )
    github.RepositoryRuleset(
        "storefront",
        name="default-branch",
        repository=repository.name,
        target="branch",
        enforcement="active",
        conditions={"ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
        rules={
            "deletion": True,
            "non_fast_forward": True,
            "pull_request": {"required_approving_review_count": 1, "allowed_merge_methods": ["squash"]},
            "required_status_checks": {
                "required_checks": [{"context": "gate", "integration_id": 15368}],
                "strict_required_status_checks_policy": True,
            },
        },
        bypass_actors=[{"actor_id": 1, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}],
        opts=pulumi.ResourceOptions(depends_on=[file]),
    )
    pulumi.export("organization_id", organization.id)
    pulumi.export("repository_id", repository.repo_id)


def network() -> None:
    vpc = aws.ec2.Vpc(
        "dev", cidr_block="10.10.0.0/16", enable_dns_hostnames=True, enable_dns_support=True, tags=tags("dev")
    )
    aws.ec2.DefaultSecurityGroup("dev", vpc_id=vpc.id, ingress=[], egress=[], tags=tags("dev"))
    gateway = aws.ec2.InternetGateway("dev", vpc_id=vpc.id, tags=tags("dev"))
    tables = {
        name: aws.ec2.RouteTable(name, vpc_id=vpc.id, tags=tags(name))
        for name in ("public", "isolated", "private-a", "private-b", "private-c")
    }
    subnets: dict[str, aws.ec2.Subnet] = {}
    for index, zone in enumerate("abc"):
        for tier, third in (("private", 0), ("isolated", 16), ("public", 24)):
            name = f"{tier}-{zone}"
            subnets[name] = aws.ec2.Subnet(
                name,
                vpc_id=vpc.id,
                cidr_block=f"10.10.{index * 32 + third}.0/{ {'private': 20, 'isolated': 21, 'public': 22}[tier] }",
                availability_zone=f"us-east-1{zone}",
                tags=tags(name),
            )
            table = tables[name if tier == "private" else tier]
            aws.ec2.RouteTableAssociation(name, route_table_id=table.id, subnet_id=subnets[name].id)
    address = aws.ec2.Eip("nat", domain="vpc", tags=tags("nat"))
    nat = aws.ec2.NatGateway(
        "nat",
        allocation_id=address.id,
        subnet_id=subnets["public-a"].id,
        tags=tags("nat"),
        opts=pulumi.ResourceOptions(depends_on=[gateway]),
    )
    aws.ec2.Route(
        "public", route_table_id=tables["public"].id, destination_cidr_block="0.0.0.0/0", gateway_id=gateway.id
    )
    for zone in "abc":
        aws.ec2.Route(
            f"private-{zone}",
            route_table_id=tables[f"private-{zone}"].id,
            destination_cidr_block="0.0.0.0/0",
            nat_gateway_id=nat.id,
        )
    aws.ec2.VpcEndpoint(
        "s3",
        vpc_id=vpc.id,
        service_name="com.amazonaws.us-east-1.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.id for table in tables.values()],
        tags=tags("s3"),
    )


def access(ids: pulumi.StackReference) -> tuple[aws.kms.Key, aws.iam.Role]:
    key = aws.kms.Key(
        "dev",
        description="SOPS key of pavedpath dev",
        enable_key_rotation=True,
        deletion_window_in_days=30,
        tags=tags("dev"),
    )
    aws.kms.Alias("dev", name="alias/pavedpath-dev-sops", target_key_id=key.key_id)
    images = aws.ecr.Repository(
        "images",
        name="storefront/api",
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        tags=tags("images"),
    )
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
        "action": {"type": "expire"},
    }
    aws.ecr.LifecyclePolicy("images", repository=images.name, policy=json.dumps({"rules": [rule]}))
    provider = aws.iam.OpenIdConnectProvider(
        "dev", url=f"https://{ISSUER}", client_id_lists=["sts.amazonaws.com"], tags=tags("dev")
    )
    trust = pulumi.Output.all(provider.arn, ids.require_output("repository_id")).apply(
        lambda known: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "sts:AssumeRoleWithWebIdentity",
                        "Principal": {"Federated": known[0]},
                        "Condition": {"StringEquals": {f"{ISSUER}:sub": f"repo:acme/storefront@{known[1]}:x"}},
                    }
                ],
            }
        )
    )
    role = aws.iam.Role("deploy", assume_role_policy=trust, tags=tags("deploy"))
    policy = key.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": arn}],
            }
        )
    )
    aws.iam.RolePolicy("deploy", role=role.id, policy=policy)
    return key, role


def cluster(key: aws.kms.Key) -> pulumi.Output[str]:
    namespace = kubernetes.core.v1.Namespace("storefront", metadata={"name": "storefront"})
    metadata = kubernetes.meta.v1.ObjectMetaArgs(name="deployer", namespace=namespace.metadata["name"])
    kubernetes.core.v1.ServiceAccount("deployer", metadata=metadata)
    kubernetes.rbac.v1.Role(
        "deployer",
        metadata=metadata,
        rules=[{"api_groups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}],
    )
    kubernetes.rbac.v1.RoleBinding(
        "deployer",
        metadata=metadata,
        role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"},
        subjects=[{"kind": "ServiceAccount", "name": "deployer", "namespace": "storefront"}],
    )
    token = kubernetes.core.v1.Secret(
        "deployer-token",
        metadata={
            "name": "deployer-token",
            "namespace": namespace.metadata["name"],
            "annotations": {"kubernetes.io/service-account.name": "deployer"},
        },
        type="kubernetes.io/service-account-token",
    )
    path = ROOT / "etc/helm_values/storefront/dev.secrets.yaml"
    command = ["sops", "decrypt", "--output-type", "json", str(path)]

    def values(_: Any) -> dict[str, Any]:
        plain = yaml.safe_load((ROOT / "etc/helm_values/storefront/dev.yaml").read_text())
        done = subprocess.run(command, capture_output=True, check=True)
        return {**plain, **json.loads(done.stdout)}

    kubernetes.helm.v3.Release(
        "storefront",
        name="storefront",
        chart=os.path.relpath(ROOT / "charts/web-service", Path.cwd()),
        namespace=namespace.metadata["name"],
        values=pulumi.Output.secret(key.arn.apply(values)),
        atomic=True,
        timeout=120,
        max_history=10,
    )
    return token.data.apply(lambda data: base64.b64decode(data["token"]).decode())


def dev() -> None:
    ids = pulumi.StackReference("organization/pavedpath/shared")
    network()
    key, role = access(ids)
    token = cluster(key)
    environment = github.RepositoryEnvironment(
        "dev",
        repository="storefront",
        environment="dev",
        can_admins_bypass=False,
        deployment_branch_policy={"protected_branches": False, "custom_branch_policies": True},
    )
    within: dict[str, Any] = {"repository": "storefront", "environment": environment.environment}
    github.RepositoryEnvironmentDeploymentPolicy("main", branch_pattern="main", **within)
    for name, value in {"AWS_DEPLOY_ROLE": role.arn, "IMAGE_REGISTRY": "x", "RUNNER_LABELS": "[]"}.items():
        github.ActionsEnvironmentVariable(name, variable_name=name, value=value, **within)
    github.ActionsEnvironmentSecret("token", secret_name="KUBECONFIG_STOREFRONT", value=token, **within)  # noqa: S106  # a name


{"shared": shared, "dev": dev}[STACK]()
