"""What is encrypted at rest. Services that always encrypt (S3, DynamoDB, ECR, logs, secrets) need no rule."""

from collections.abc import Iterator, Mapping, Sequence

from policy.model import UNKNOWN, Data, Finding, Resource, at, each, holds, resource_rule

_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
_KEY = "aws:kms/key:Key"
_QUEUE = "aws:sqs/queue:Queue"
_TOPIC = "aws:sns/topic:Topic"
# Where AWS encrypts on request alone: the switch of each type.
_SWITCHES: Mapping[str, Sequence[str]] = {
    "aws:docdb/cluster:Cluster": ("storageEncrypted",),
    "aws:ebs/volume:Volume": ("encrypted",),
    "aws:efs/fileSystem:FileSystem": ("encrypted",),
    "aws:elasticache/replicationGroup:ReplicationGroup": ("atRestEncryptionEnabled",),
    "aws:neptune/cluster:Cluster": ("storageEncrypted",),
    "aws:opensearch/domain:Domain": ("encryptAtRest", "enabled"),
    "aws:rds/cluster:Cluster": ("storageEncrypted",),
    "aws:rds/instance:Instance": ("storageEncrypted",),
    "aws:redshift/cluster:Cluster": ("encrypted",),
}
# The blocks of each type that describe volumes of instances.
_VOLUMES: Mapping[str, Sequence[str]] = {
    "aws:ec2/instance:Instance": ("rootBlockDevice", "ebsBlockDevices"),
    "aws:ec2/launchConfiguration:LaunchConfiguration": ("rootBlockDevice", "ebsBlockDevices"),
    "aws:ec2/spotInstanceRequest:SpotInstanceRequest": ("rootBlockDevice", "ebsBlockDevices"),
}


@resource_rule(
    "encryption-at-rest",
    "What is stored is encrypted, and its keys rotate.",
    _TEMPLATE,
    _KEY,
    _QUEUE,
    _TOPIC,
    *_SWITCHES,
    *_VOLUMES,
)
def encryption_at_rest(resource: Resource) -> Iterator[Finding]:
    """Volumes, databases and file systems, queues, topics, and the rotation of keys."""
    if switch := _SWITCHES.get(resource.type):
        if not holds(resource.get(*switch)):
            yield Finding("it is not encrypted", f"set {'.'.join(switch)} to true")
    elif resource.type == _KEY:
        yield from _key(resource)
    elif resource.type == _QUEUE:
        # Absent is on: SQS encrypts new queues by itself (AWS, "Encryption at rest in Amazon SQS").
        managed = resource.get("sqsManagedSseEnabled")
        if managed is not None and not holds(managed) and not resource.get("kmsMasterKeyId"):
            yield Finding("its encryption is switched off", "leave sqsManagedSseEnabled out, or name a kmsMasterKeyId")
    elif resource.type == _TOPIC:
        if not resource.get("kmsMasterKeyId"):
            yield Finding(
                "its messages are not encrypted",
                "name a kmsMasterKeyId: a key whose policy lets the publishing services use it, or alias/aws/sns",
            )
    else:
        yield from _volumes(resource)


def _key(resource: Resource) -> Iterator[Finding]:
    spec = resource.get("customerMasterKeySpec") or resource.get("keySpec") or "SYMMETRIC_DEFAULT"
    usage = resource.get("keyUsage") or "ENCRYPT_DECRYPT"
    rotates = spec == "SYMMETRIC_DEFAULT" and usage == "ENCRYPT_DECRYPT" and not resource.get("customKeyStoreId")
    if rotates and not holds(resource.get("enableKeyRotation")):
        yield Finding("the key does not rotate", "set enableKeyRotation to true")


def _volumes(resource: Resource) -> Iterator[Finding]:
    if resource.type == _TEMPLATE:
        mappings = resource.get("blockDeviceMappings")
        volumes: list[tuple[str, Data]] = [
            (str(at(mapping, "deviceName")), at(mapping, "ebs"))
            for mapping in each(mappings)
            if at(mapping, "ebs") is not None
        ]
        if mappings is not UNKNOWN and not volumes:
            yield Finding(
                "it leaves the encryption of the root volume to the image",
                "add a block device mapping for the root device with ebs.encrypted true",
            )
    else:
        blocks = _VOLUMES[resource.type]
        volumes = [(block, volume) for block in blocks for volume in each(resource.get(block))]
    for device, volume in volumes:
        if not holds(at(volume, "encrypted")):
            yield Finding(f"the volume {device} is not encrypted", "set `encrypted` of the volume to true")
