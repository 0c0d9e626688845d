"""From documents and conversations to packed tokens."""
