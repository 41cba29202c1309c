"""Tests of the native vector environment."""
