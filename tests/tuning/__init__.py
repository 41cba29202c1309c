"""Tests of hyperparameter tuning."""
