"""A function as AWS tells of it."""

from pavedpath_sandbox.functions.model import Function

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
FUNCTION = Function(
    account="123456789012",
    region="us-east-1",
    name="f",
    arn=ARN,
    handler="app.handler",
    runtime="python3.12",
    package="Zip",
    timeout=120,
    memory=128,
    environment={},
    reserved=None,
    code="0" * 64,
    log_group="/aws/lambda/f",
    url="abc",
    url_authentication="NONE",
)
