"""Tests; the paths mirror the package."""
