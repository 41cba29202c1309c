"""Tests that start servers and worker processes: ``make test-services``."""
