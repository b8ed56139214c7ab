"""Meta-agents: what writes workflows, trainable or behind an endpoint."""
