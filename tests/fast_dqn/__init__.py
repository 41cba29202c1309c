"""Tests of sb3_atari_course.fast_dqn."""
