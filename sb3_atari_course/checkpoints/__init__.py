"""Exact checkpoints: stop a training anywhere, resume it to the bit."""
