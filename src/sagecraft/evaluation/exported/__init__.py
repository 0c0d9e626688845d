"""Files that an export puts beside its data: they run inside another harness, and never import sagecraft."""
