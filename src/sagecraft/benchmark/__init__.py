"""Multiple-choice benchmarks from withheld documents."""
