"""Engines that run a model, and what they cost."""
