"""Measures models on keyed questions and on text, and compares them with error bars and prices."""
