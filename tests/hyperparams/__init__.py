"""Tests of the hyperparameter files and their entries."""
