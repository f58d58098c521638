"""A deterministic discrete-event simulator of what a fleet lives in: GitHub, EC2, DynamoDB, SQS, SSM, Lambda, machines.

It drives the same decisions, adapters and receiver as production. All of its numbers are simulated.
"""
