"""`pavedpath rotate`: new values for the secrets of one environment, in SOPS files and in AWS Secrets Manager."""
