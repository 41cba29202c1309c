"""RL Zoo integration: algorithms, experiment manager, hyperparameter checks, run folders."""
