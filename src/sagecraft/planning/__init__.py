"""What a recipe will take, and what this machine has."""
