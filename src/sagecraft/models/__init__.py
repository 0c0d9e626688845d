"""One decoder for training and inference; Hugging Face folders in and out."""
