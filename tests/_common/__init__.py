"""Tests of validation, errors, files and arrays."""
