"""The resources of the stacks shared and dev written by hand: no components, no settings, no checks.

It is what `make bench` compares with, so it registers what the program registers, type by type and with inputs that
give the providers the same work, and nothing else (tests/unit/bench/test_baseline.py).
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

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(__file__).parent / "files"
STACK = pulumi.get_stack()
ISSUER = "token.actions.githubusercontent.com"
WRITE = ["create", "delete", "get", "list", "patch", "update", "watch"]


def tags(name: str) -> dict[str, str]:
    return {"Name": name, "project": "pavedpath", "environment": STACK, "owner": "platform"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]})


def shared() -> None:
    organization = github.get_organization_output(name="acme", summary_only=True)
    platform = github.Team("platform", name="platform", description="Runs the paved path", privacy="closed")
    shop = github.Team("shop", name="shop", description="Builds the shop", privacy="closed")
    github.TeamMembers(
        "platform", team_slug=platform.slug, members=[{"username": each, "role": "member"} for each in ("bob", "carol")]
    )
    github.TeamMembers("shop", team_slug=shop.slug, members=[{"username": "alice", "role": "member"}])
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
        allow_merge_commit=True,
        allow_rebase_merge=False,
        allow_squash_merge=True,
        allow_update_branch=True,
        delete_branch_on_merge=True,
    )
    github.TeamRepository("platform", repository=repository.name, team_id=platform.slug, permission="maintain")
    github.TeamRepository("shop", repository=repository.name, team_id=shop.slug, permission="push")
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
    checks = github.RepositoryFile(
        "checks",
        repository=repository.name,
        branch="main",
        file=".github/workflows/checks.yml",
        content=(FILES / "checks.yml").read_text(),
        commit_message="Write the checks workflow",
        overwrite_on_create=True,
    )
    renovate = github.RepositoryFile(
        "renovate",
        repository=repository.name,
        branch="main",
        file="renovate.json",
        content=(FILES / "renovate.json").read_text(),
        commit_message="Write renovate.json",
        overwrite_on_create=True,
        opts=pulumi.ResourceOptions(depends_on=[checks]),
    )
    branch = github.Branch(
        "deploy/prod",
        repository=repository.name,
        branch="deploy/prod",
        source_branch="main",
        opts=pulumi.ResourceOptions(depends_on=[renovate]),
    )
    rulesets(repository, branch)
    pulumi.export("github", {"organization_id": organization.id, "repository_ids": {"storefront": repository.repo_id}})
    pulumi.export("repositories", {"storefront": repository.html_url})


def rulesets(repository: github.Repository, branch: github.Branch) -> None:
    administrators: list[github.RepositoryRulesetBypassActorArgsDict] = [
        {"actor_id": 1, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}
    ]
    after = pulumi.ResourceOptions(depends_on=[branch])
    github.RepositoryRuleset(
        "default-branch",
        name="default-branch",
        repository=repository.name,
        target="branch",
        enforcement="active",
        conditions={"ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
        rules={
            "deletion": True,
            "non_fast_forward": True,
            "pull_request": {
                "required_approving_review_count": 1,
                "dismiss_stale_reviews_on_push": True,
                "required_review_thread_resolution": True,
                "allowed_merge_methods": ["squash"],
            },
            "required_status_checks": {
                "required_checks": [{"context": "gate", "integration_id": 15368}],
                "strict_required_status_checks_policy": True,
            },
        },
        bypass_actors=administrators,
        opts=after,
    )
    github.RepositoryRuleset(
        "deploy/prod",
        name="deploy/prod",
        repository=repository.name,
        target="branch",
        enforcement="active",
        conditions={"ref_name": {"includes": ["refs/heads/deploy/prod"], "excludes": []}},
        rules={
            "creation": True,
            "deletion": True,
            "non_fast_forward": True,
            "pull_request": {
                "required_approving_review_count": 2,
                "require_last_push_approval": True,
                "dismiss_stale_reviews_on_push": True,
                "required_review_thread_resolution": True,
                "allowed_merge_methods": ["merge"],
            },
            "required_status_checks": {
                "required_checks": [{"context": "gate", "integration_id": 15368}],
                "strict_required_status_checks_policy": False,
            },
        },
        bypass_actors=administrators,
        opts=after,
    )
    github.RepositoryRuleset(
        "tags-creation",
        name="tags-creation",
        repository=repository.name,
        target="tag",
        enforcement="active",
        conditions={"ref_name": {"includes": ["refs/tags/v*"], "excludes": []}},
        rules={"creation": True},
        bypass_actors=administrators,
        opts=after,
    )
    github.RepositoryRuleset(
        "tags-immutable",
        name="tags-immutable",
        repository=repository.name,
        target="tag",
        enforcement="active",
        conditions={"ref_name": {"includes": ["refs/tags/v*"], "excludes": []}},
        rules={"update": True, "deletion": True, "non_fast_forward": True},
        bypass_actors=[],
        opts=after,
    )


def network() -> aws.ec2.Vpc:
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
        for tier, third, prefix in (("private", 0, 20), ("isolated", 16, 21), ("public", 24, 22)):
            name = f"{tier}-{zone}"
            subnets[name] = aws.ec2.Subnet(
                name,
                vpc_id=vpc.id,
                cidr_block=f"10.10.{index * 32 + third}.0/{prefix}",
                availability_zone=f"us-east-1{zone}",
                map_public_ip_on_launch=False,
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
    return vpc


def flow_logs(vpc: aws.ec2.Vpc, account: str) -> None:
    group = aws.cloudwatch.LogGroup("flow-logs", retention_in_days=14, tags=tags("flow-logs"))
    trust = policy(
        {
            "Principal": {"Service": ["vpc-flow-logs.amazonaws.com"]},
            "Action": ["sts:AssumeRole"],
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:us-east-1:{account}:vpc-flow-log/*"},
            },
        }
    )
    role = aws.iam.Role(
        "flow-logs",
        assume_role_policy=trust,
        description="Writes the flow logs of the VPC dev",
        tags=tags("flow-logs"),
    )
    actions = ["logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    rights = aws.iam.RolePolicy(
        "flow-logs",
        role=role.id,
        policy=group.arn.apply(lambda arn: policy({"Action": actions, "Resource": [arn, f"{arn}:*"]})),
    )
    aws.ec2.FlowLog(
        "flow-logs",
        vpc_id=vpc.id,
        traffic_type="ALL",
        log_destination_type="cloud-watch-logs",
        log_destination=group.arn,
        iam_role_arn=role.arn,
        tags=tags("flow-logs"),
        opts=pulumi.ResourceOptions(depends_on=[rights]),
    )


def registry(name: str, keep: int | None) -> aws.ecr.Repository:
    repository = aws.ecr.Repository(
        name,
        name=name,
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        encryption_configurations=[{"encryption_type": "AES256"}],
        force_delete=True,
        tags=tags(name),
    )
    old = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7}
    rules: list[dict[str, Any]] = [{"rulePriority": 1, "selection": old, "action": {"type": "expire"}}]
    if keep:
        many = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep}
        rules.append({"rulePriority": 2, "selection": many, "action": {"type": "expire"}})
    aws.ecr.LifecyclePolicy(name, repository=repository.name, policy=json.dumps({"rules": rules}))
    return repository


def deploy_role(
    organization_id: pulumi.Output[Any], repository_id: pulumi.Output[Any], registries: list[aws.ecr.Repository]
) -> aws.iam.Role:
    provider = aws.iam.OpenIdConnectProvider(
        "dev", url=f"https://{ISSUER}", client_id_lists=["sts.amazonaws.com"], tags=tags("dev")
    )
    trust = pulumi.Output.all(provider.arn, organization_id, repository_id).apply(
        lambda known: policy(
            {
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": known[0]},
                "Condition": {
                    "StringEquals": {
                        f"{ISSUER}:aud": "sts.amazonaws.com",
                        f"{ISSUER}:sub": [
                            "repo:acme/storefront:environment:dev",
                            f"repo:acme@{int(known[1])}/storefront@{int(known[2])}:environment:dev",
                        ],
                    }
                },
            }
        )
    )
    role = aws.iam.Role(
        "storefront",
        assume_role_policy=trust,
        description="Deploys acme/storefront to dev",
        max_session_duration=3600,
        tags=tags("storefront"),
    )
    push = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    ]
    aws.iam.RolePolicy(
        "storefront",
        role=role.id,
        policy=pulumi.Output.all(*[each.arn for each in registries]).apply(
            lambda arns: policy(
                {"Action": ["ecr:GetAuthorizationToken"], "Resource": ["*"]}, {"Action": push, "Resource": arns}
            )
        ),
    )
    return role


def sops_key(role: aws.iam.Role, account: str) -> aws.kms.Key:
    key = aws.kms.Key(
        "sops",
        description="SOPS key of pavedpath dev",
        enable_key_rotation=True,
        deletion_window_in_days=30,
        tags=tags("sops"),
    )
    aws.kms.Alias("sops", name="alias/pavedpath-dev-sops", target_key_id=key.key_id)
    root = {"AWS": [f"arn:aws:iam::{account}:root"]}
    administer = [
        "kms:CancelKeyDeletion",
        "kms:CreateAlias",
        "kms:DeleteAlias",
        "kms:DescribeKey",
        "kms:DisableKey",
        "kms:DisableKeyRotation",
        "kms:EnableKey",
        "kms:EnableKeyRotation",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListGrants",
        "kms:ListKeyPolicies",
        "kms:ListKeyRotations",
        "kms:ListResourceTags",
        "kms:PutKeyPolicy",
        "kms:RevokeGrant",
        "kms:RotateKeyOnDemand",
        "kms:ScheduleKeyDeletion",
        "kms:TagResource",
        "kms:UntagResource",
        "kms:UpdateAlias",
        "kms:UpdateKeyDescription",
    ]
    aws.kms.KeyPolicy(
        "sops",
        key_id=key.key_id,
        policy=role.arn.apply(
            lambda deployer: policy(
                {"Principal": root, "Action": administer, "Resource": ["*"]},
                {"Principal": root, "Action": ["kms:DescribeKey", "kms:Encrypt"], "Resource": ["*"]},
                {
                    "Principal": {"AWS": [f"arn:aws:iam::{account}:role/platform", deployer]},
                    "Action": ["kms:Decrypt", "kms:DescribeKey"],
                    "Resource": ["*"],
                },
            )
        ),
    )
    return key


def namespace() -> pulumi.Output[str]:
    made = kubernetes.core.v1.Namespace(
        "storefront",
        metadata={
            "name": "storefront",
            "labels": {
                "pod-security.kubernetes.io/enforce": "baseline",
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
    )
    name = made.metadata["name"]
    kubernetes.networking.v1.NetworkPolicy(
        "ingress",
        metadata={"name": "default-deny-ingress", "namespace": name},
        spec={"pod_selector": {}, "policy_types": ["Ingress"], "ingress": [{"from_": [{"pod_selector": {}}]}]},
    )
    defaults = kubernetes.core.v1.LimitRange(
        "storefront",
        metadata={"name": "container-defaults", "namespace": name},
        spec={
            "limits": [
                {
                    "type": "Container",
                    "default_request": {"cpu": "50m", "memory": "128Mi"},
                    "default": {"memory": "128Mi"},
                }
            ]
        },
    )
    kubernetes.core.v1.ResourceQuota(
        "storefront",
        metadata={"name": "quota", "namespace": name},
        spec={"hard": {"requests.cpu": "2", "limits.memory": "4Gi", "pods": "20"}},
        opts=pulumi.ResourceOptions(depends_on=[defaults]),
    )
    return name


def deployer(name: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return the kubeconfig of the service account that deploys."""
    metadata = kubernetes.meta.v1.ObjectMetaArgs(name="deployer", namespace=name)
    account = kubernetes.core.v1.ServiceAccount("deployer", metadata=metadata, automount_service_account_token=False)
    role = kubernetes.rbac.v1.Role(
        "deployer",
        metadata=metadata,
        rules=[
            {
                "api_groups": [""],
                "resources": ["configmaps", "secrets", "services", "serviceaccounts"],
                "verbs": WRITE,
            },
            {"api_groups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": WRITE},
            {"api_groups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": WRITE},
            {"api_groups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": WRITE},
            {"api_groups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": WRITE},
            {"api_groups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"], "verbs": WRITE},
            {
                "api_groups": ["", "apps"],
                "resources": ["events", "pods", "pods/log", "replicasets"],
                "verbs": ["get", "list", "watch"],
            },
        ],
    )
    kubernetes.rbac.v1.RoleBinding(
        "deployer",
        metadata=metadata,
        role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata["name"]},
        subjects=[{"kind": "ServiceAccount", "name": "deployer", "namespace": name}],
    )
    token = kubernetes.core.v1.Secret(
        "deployer-token",
        metadata={
            "name": "deployer-token",
            "namespace": name,
            "annotations": {"kubernetes.io/service-account.name": account.metadata["name"]},
        },
        type="kubernetes.io/service-account-token",
    )
    server = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())["clusters"][0]["cluster"]["server"]

    def kubeconfig(data: Any) -> str:
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "cluster", "cluster": {"server": server, "certificate-authority-data": data["ca.crt"]}}
                ],
                "users": [{"name": "deployer", "user": {"token": base64.b64decode(data["token"]).decode()}}],
                "contexts": [
                    {"name": "deploy", "context": {"cluster": "cluster", "user": "deployer", "namespace": "storefront"}}
                ],
                "current-context": "deploy",
            }
        )

    return pulumi.Output.secret(token.data.apply(kubeconfig))


def release(name: pulumi.Output[str], key: aws.kms.Key) -> kubernetes.helm.v3.Release:
    directory = ROOT / "etc/helm_values/storefront"
    command = ["sops", "decrypt", "--output-type", "json", str(directory / "dev.secrets.yaml")]

    def values(_: Any) -> dict[str, Any]:
        plain = yaml.safe_load((directory / "dev.yaml").read_text())
        done = subprocess.run(command, capture_output=True, check=True)
        return {**plain, **json.loads(done.stdout)}

    return kubernetes.helm.v3.Release(
        "storefront",
        name="storefront",
        chart=os.path.relpath(ROOT / "charts/web-service", Path.cwd()),
        namespace=name,
        values=pulumi.Output.secret(key.arn.apply(values)),
        atomic=True,
        timeout=120,
        max_history=10,
    )


def repository_environment(variables: dict[str, pulumi.Input[str]], kubeconfig: pulumi.Output[str]) -> None:
    environment = github.RepositoryEnvironment(
        "dev",
        repository="storefront",
        environment="dev",
        wait_timer=0,
        can_admins_bypass=False,
        deployment_branch_policy={"protected_branches": False, "custom_branch_policies": True},
    )
    within: dict[str, Any] = {"repository": "storefront", "environment": environment.environment}
    github.RepositoryEnvironmentDeploymentPolicy("main", branch_pattern="main", **within)
    for name, value in variables.items():
        github.ActionsEnvironmentVariable(name, variable_name=name, value=value, **within)
    github.ActionsEnvironmentSecret(
        "kubeconfig",
        secret_name="KUBECONFIG_STOREFRONT",  # noqa: S106  # a name
        value=kubeconfig,
        **within,
    )


def alerts(account: str) -> aws.sns.Topic:
    publishers = {
        "Principal": {"Service": ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]},
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    key = aws.kms.Key("alerts", description="Encrypts the alerts of dev", enable_key_rotation=True, tags=tags("alerts"))
    aws.kms.Alias("alerts", name="alias/dev-deployment-alerts", target_key_id=key.key_id)
    rights = aws.kms.KeyPolicy(
        "alerts",
        key_id=key.key_id,
        policy=policy(
            {"Principal": {"AWS": [f"arn:aws:iam::{account}:root"]}, "Action": ["kms:*"], "Resource": ["*"]},
            {**publishers, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": ["*"]},
        ),
    )
    topic = aws.sns.Topic(
        "alerts",
        name="dev-deployment-alerts",
        kms_master_key_id=key.arn,
        tags=tags("alerts"),
        opts=pulumi.ResourceOptions(depends_on=[rights]),
    )
    aws.sns.TopicPolicy(
        "alerts",
        arn=topic.arn,
        policy=topic.arn.apply(lambda arn: policy({**publishers, "Action": ["sns:Publish"], "Resource": [arn]})),
    )
    aws.sns.TopicSubscription("platform", topic=topic.arn, protocol="email", endpoint="platform@example.com")
    groups = yaml.safe_load((FILES / "rules.yaml").read_text())
    runbook = {rule["alert"]: rule["annotations"]["description"] for rule in groups[0]["rules"]}
    for alert, metric, minutes in (
        ("DeploymentFailed", "status_replicas_unavailable", 5),
        ("PodCrashLooping", "pod_container_status_waiting_reason_crash_loop_back_off", 3),
        ("ImageNotPulled", "pod_container_status_waiting_reason_image_pull_error", 3),
    ):
        watched = alert == "DeploymentFailed"
        aws.cloudwatch.MetricAlarm(
            alert,
            name=f"dev-{alert}",
            alarm_description=runbook[alert],
            namespace="ContainerInsights",
            metric_name=metric,
            dimensions={"ClusterName": "pavedpath-dev"},
            statistic="Maximum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=60,
            evaluation_periods=5,
            datapoints_to_alarm=minutes,
            treat_missing_data="missing" if watched else "notBreaching",
            alarm_actions=[topic.arn],
            ok_actions=[topic.arn],
            insufficient_data_actions=[topic.arn] if watched else None,
            tags=tags(f"dev-{alert}"),
        )
    kubernetes.apiextensions.CustomResource(
        "alerts",
        api_version="monitoring.coreos.com/v1",
        kind="PrometheusRule",
        metadata={"name": "deployments-dev", "namespace": "default"},
        spec={"groups": groups},
    )
    return topic


def budget() -> None:
    aws.budgets.Budget(
        "dev",
        name="dev",
        budget_type="COST",
        time_unit="MONTHLY",
        limit_amount="200.00",
        limit_unit="USD",
        notifications=[
            {
                "comparison_operator": "GREATER_THAN",
                "notification_type": kind,
                "threshold": threshold,
                "threshold_type": "PERCENTAGE",
                "subscriber_email_addresses": ["platform@example.com"],
            }
            for kind, threshold in (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
        ],
        tags=tags("dev"),
    )


def dev() -> None:
    account = aws.get_caller_identity().account_id
    ids = pulumi.StackReference("organization/pavedpath/shared").require_output("github")
    vpc = network()
    flow_logs(vpc, account)
    images = registry("storefront/api", keep=20)
    charts = registry("charts/web-service", keep=None)
    role = deploy_role(ids["organization_id"], ids["repository_ids"]["storefront"], [charts, images])
    key = sops_key(role, account)
    name = namespace()
    kubeconfig = deployer(name)
    host = images.repository_url.apply(lambda url: url.split("/")[0])
    repository_environment(
        {
            "AWS_DEPLOY_ROLE": role.arn,
            "AWS_REGION": "us-east-1",
            "IMAGE_REGISTRY": host,
            "CHART_REGISTRY_KIND": "ecr",
            "CHART_REGISTRY_HOST": host,
            "CHART_REGISTRY_URL": pulumi.Output.concat("oci://", host, "/charts"),
            "RUNNER_LABELS": '["self-hosted", "linux", "arm64", "dev"]',
        },
        kubeconfig,
    )
    storefront = release(name, key)
    topic = alerts(account)
    budget()
    pulumi.export("network", {"vpc": vpc.id})
    pulumi.export("images", {"storefront/api": images.repository_url})
    pulumi.export("deploy roles", {"storefront": role.arn})
    pulumi.export("secrets", {"key": key.arn})
    pulumi.export("applications", {"storefront": storefront.status["status"]})
    pulumi.export("alerts", {"topic": topic.arn})


{"shared": shared, "dev": dev}[STACK]()
