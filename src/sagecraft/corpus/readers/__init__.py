"""One reader a format, all giving the same document."""
