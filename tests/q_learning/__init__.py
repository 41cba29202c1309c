"""Tests of the tabular Q-learner."""
