"""Tests of sb3_atari_course.checkpoints.resuming."""
