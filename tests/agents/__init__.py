"""Tests of loading and publishing agents."""
