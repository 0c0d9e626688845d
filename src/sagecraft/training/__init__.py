"""Continued pre-training and supervised fine-tuning: one loop."""
