"""A Pulumi policy pack: what no stack may do. The rules are pure functions; `pack` alone knows the policy SDK."""
