"""What grades a question and its answer: rules first, then models."""
