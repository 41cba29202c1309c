"""Tests of sb3_atari_course.envs.state."""
