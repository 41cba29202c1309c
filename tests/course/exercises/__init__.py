"""Tests of the exercises' judges."""
