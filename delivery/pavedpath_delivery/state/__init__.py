"""`pavedpath state`: makes the place of a team's Pulumi state, backs stacks up, restores and moves them."""
