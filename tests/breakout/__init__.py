"""Mirrors sb3_atari_course.breakout."""
