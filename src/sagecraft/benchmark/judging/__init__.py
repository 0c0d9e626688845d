"""Models that answer and grade what was drafted, and what their answers take out of a benchmark."""
