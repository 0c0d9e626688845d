"""sagecraft: from a base model and a body of literature to a measured specialist."""

__version__ = "0.1.0"
