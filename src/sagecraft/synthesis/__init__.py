"""Conversations from documents."""
