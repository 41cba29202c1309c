"""Tests of the videos: what is in the file, and what is left after an error."""
