"""Tests of the RL Zoo integration."""
