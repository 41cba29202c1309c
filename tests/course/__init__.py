"""Tests of the course: exercises, lessons, notebooks."""
