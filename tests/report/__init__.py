"""Tests of figures, reports and videos."""
