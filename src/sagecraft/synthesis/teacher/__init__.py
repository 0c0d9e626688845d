"""Questions that a model writes, and what else models are asked for: requests in, checked objects out."""
