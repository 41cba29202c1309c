"""One module for each command of ``sb3-atari``."""
