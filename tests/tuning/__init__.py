"""Tests of the tuning: spaces, studies, workers, reports."""
