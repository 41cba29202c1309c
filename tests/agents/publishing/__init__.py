"""Tests of ``sb3_atari_course.agents.publishing``."""
