"""A control plane with no ledger and few cares: what the simulator must catch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pavedpath_runners.simulator.policy import Deployment, Hook, Message, Services


class Naive:
    """Launches a machine for each webhook `queued`, and ends machines that GitHub shows as idle."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def webhook(self, hook: Hook) -> int:
        payload = json.loads(hook.body)
        if payload["action"] == "queued":
            identity = payload["workflow_job"]["id"]
            self.services.sqs.send_message(QueueUrl="", MessageBody=json.dumps({"job": identity}))
        return 200

    def messages(self, batch: Sequence[Message]) -> Sequence[str]:
        for message in batch:
            self._launch(json.loads(message.body)["job"])
        return []

    def _launch(self, job: int) -> None:
        pool = self.services.fleet.pools[0]
        name = f"sim-{job}-1"
        tags = {"pavedpath:runner": name, "pavedpath:pool": pool.name}
        answer = self.services.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {"Overrides": [{"InstanceType": pool.instance_types[0], "SubnetId": pool.subnet_ids[0]}]}
            ],
            TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )
        instance = answer["Instances"][0]["InstanceIds"][0]
        body = {"name": name, "labels": list(pool.labels)}
        made = self.services.github.request("POST", "/orgs/acme/actions/runners/generate-jitconfig", body)
        if made.status == 201:
            self.services.ssm.put_parameter(Name=f"/sim/{instance}", Value=made.json["encoded_jit_config"])

    def tick(self) -> None:
        runners = self.services.github.request("GET", "/orgs/acme/actions/runners?per_page=100").json["runners"]
        idle = {each["name"] for each in runners if each["status"] == "online" and not each["busy"]}
        for reservation in self.services.ec2.describe_instances()["Reservations"]:
            for each in reservation["Instances"]:
                tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
                if tags["pavedpath:runner"] in idle and each["State"]["Name"] == "running":
                    self.services.ec2.terminate_instances(InstanceIds=[each["InstanceId"]])

    def interruption(self, event: Mapping[str, Any]) -> None:
        """It does not care."""


NAIVE = Deployment("naive", Naive, fifo=False, strict=False, batch=10, visibility_seconds=60)
