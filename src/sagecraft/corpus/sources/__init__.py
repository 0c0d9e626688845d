"""Where literature comes from: local files, and servers that are asked politely."""
