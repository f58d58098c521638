"""`pavedpath stack`: drives the Pulumi CLI, shows what it does and repairs what an interrupted run left."""
