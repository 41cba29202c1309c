"""Command-line interface: one module per command of ``sb3-atari``."""
