"""Items that a model writes from passages: requests, lenient reading, and the rules that its items pass."""
