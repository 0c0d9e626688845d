"""Talking to a model: terminal, OpenAI-compatible server, web page."""
