"""One chat renderer for synthesis, training, evaluation and serving."""
