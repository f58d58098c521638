"""A host for the sandbox's Lambda functions: their own code, in processes of this machine's Python."""
