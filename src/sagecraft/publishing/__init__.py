"""Model cards, GGUF, the hub, the report of a run."""
