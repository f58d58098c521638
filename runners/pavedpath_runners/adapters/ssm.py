"""The handover of runners' configurations as SSM parameters.

The instance role may get and delete a parameter only if its tag `pavedpath:instance` is the ARN of the very instance
that asks (`ec2:SourceInstanceARN`): a job cannot read what another machine was given.
"""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pavedpath_runners.configuration import Fleet

from .aws import calling, code_of

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient


class ParameterHandover:
    """`ports.Handover` on SSM SecureString parameters `/pavedpath/<fleet>/jit/<instance id>`.

    Args:
        client: boto3's SSM client.
        fleet: whose machines they are.
        region, account, partition: of the instances' ARNs.
    """

    def __init__(self, client: "SSMClient", fleet: Fleet, region: str, account: str, partition: str = "aws") -> None:
        self._client, self._fleet = client, fleet.name
        self._instances = f"arn:{partition}:ec2:{region}:{account}:instance/"

    def put(self, instance_id: str, runner: str, configuration: str) -> None:
        """Lay it down, in the place of an older one.

        SSM takes tags with a new parameter alone; an older one has its tag already, since nobody else may write here.
        (To delete it first would not do: a name is free again only after 30 seconds; SSM, "DeleteParameter".)
        """
        tag = {"Key": "pavedpath:instance", "Value": self._instances + instance_id}
        try:
            self._put(instance_id, runner, configuration, Tags=[tag])
        except ClientError as error:
            if code_of(error) != "ParameterAlreadyExists":
                raise
            self._put(instance_id, runner, configuration, Overwrite=True)

    def remove(self, instance_id: str) -> None:
        """Take it back, if it is still there."""
        try:
            with calling("SSM DeleteParameter"):
                self._client.delete_parameter(Name=self._name(instance_id))
        except ClientError as error:
            if code_of(error) != "ParameterNotFound":
                raise

    def _put(self, instance_id: str, runner: str, configuration: str, **more: Any) -> None:
        with calling("SSM PutParameter"):
            self._client.put_parameter(
                Name=self._name(instance_id),
                Description=f"Configuration of the runner {runner}",
                Value=configuration,
                Type="SecureString",
                # A standard parameter holds 4 KB; a configuration with many labels is longer.
                Tier="Intelligent-Tiering",
                **more,
            )

    def _name(self, instance_id: str) -> str:
        return f"/pavedpath/{self._fleet}/jit/{instance_id}"
