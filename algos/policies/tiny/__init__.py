"""The embedded meta-agent: a small Llama, warm-started on workflows drawn from a grammar."""
