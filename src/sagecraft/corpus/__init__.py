"""From files to clean, deduplicated, withheld documents."""
