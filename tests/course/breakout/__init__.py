"""Mirrors sb3_atari_course.course.breakout."""
