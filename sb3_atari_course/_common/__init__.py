"""Helpers for all layers: validation, errors, files, arrays, plain data."""

#: Frame limit of a game, in emulator frames: half an hour, as in Mnih et al. 2015.
MAX_FRAMES = 108_000
