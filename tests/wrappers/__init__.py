"""Tests of the wrappers, one file per family."""
