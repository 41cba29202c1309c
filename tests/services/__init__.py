"""Tests that start servers and workers by themselves: ``make test-services``."""
