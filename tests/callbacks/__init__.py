"""Tests of sb3_atari_course.callbacks, with short trainings."""
