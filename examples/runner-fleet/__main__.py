"""Runners in a network of one's own for the jobs of two repositories, a machine a job."""

import pulumi
from pavedpath import NatMode, Repository, RunnerFleet, RunnerFleetArgs, Vpc, tag_everything
from pavedpath_runners import Architecture

environment = pulumi.get_stack()
config = pulumi.Config()
organization = pulumi.Config("github").require("owner")
tag_everything({"project": pulumi.get_project(), "environment": environment, "owner": "platform"})

# Machines reach GitHub through the NAT gateway; nothing reaches them.
vpc = Vpc(environment, {"cidr": "10.40.0.0/16", "zones": ["us-east-1a", "us-east-1b"], "nat": NatMode.ONE})
# Private ones: the fleet refuses the jobs of public repositories. Existing ones go by their ids, without a Repository.
invoices = Repository("invoices", {"name": "invoices", "checks": {"test": "make test"}})
payments = Repository("payments", {"name": "payments", "checks": {"test": "make test"}})

args: RunnerFleetArgs = {
    "environment": environment,
    "organization": organization,
    "vpc_id": vpc.vpc_id,
    "subnet_ids": vpc.private_subnet_ids,
    "repositories": {"invoices": invoices.repository_id, "payments": payments.repository_id},
    "pools": {
        "small": {
            "architecture": Architecture.ARM64,
            "instance_types": ["m7g.medium", "m6g.medium", "c7g.medium"],
            "maximum": config.require_int("maximum"),
            "boot_minutes": 3,
            "idle_minutes": 2,
            # On demand in us-east-1, by the hour; spot costs less, so the cost of a job is at most this.
            "hourly_usd": {"m7g.medium": 0.0408, "m6g.medium": 0.0385, "c7g.medium": 0.0363},
        },
        "large": {
            "architecture": Architecture.X64,
            "instance_types": ["m7i.xlarge", "m6i.xlarge", "c7i.xlarge"],
            "maximum": config.require_int("maximum"),
            "boot_minutes": 3,
            "idle_minutes": 2,
            "hourly_usd": {"m7i.xlarge": 0.2016, "m6i.xlarge": 0.192, "c7i.xlarge": 0.1785},
        },
    },
    "github_app": {"app_id": config.require_int("appId"), "installation_id": config.require_int("installationId")},
    "webhook_secret": config.require_secret("webhookSecret"),
}
# What the functions need that AWS's runtime has not; a sandbox has it.
if layer := config.get("layer"):
    args["layer"] = layer
fleet = RunnerFleet(environment, args)

pulumi.export("labels", fleet.labels)
pulumi.export("webhook", fleet.webhook_url)
pulumi.export("app key secret", fleet.app_key_secret)
pulumi.export("configuration", fleet.configuration_parameter)
pulumi.export("ledger", fleet.table_name)
pulumi.export("launch queue", fleet.queue_url)
