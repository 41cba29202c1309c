"""Tests of the tuning: spaces, trials, studies that survive."""
