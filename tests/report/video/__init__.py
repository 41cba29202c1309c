"""Tests of videos: content of the file, and files after an error."""
