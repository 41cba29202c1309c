"""RL Zoo with our pieces."""
