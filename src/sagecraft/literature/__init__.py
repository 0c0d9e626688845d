"""What questions are made from: documents as passages, and what their English, glossaries and tables say."""
