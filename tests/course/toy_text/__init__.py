"""Tests of what a lesson with a table looks at."""
