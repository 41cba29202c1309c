"""Tests that need a server, which they start by themselves: ``make test-services``."""
