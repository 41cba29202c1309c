"""Helpers for all layers: validation, errors, files, arrays, plain data."""

#: Frame limit of a game, in emulator frames: half an hour, as in Mnih et al. 2015.
MAX_FRAMES = 108_000

#: Games of an evaluation that a process plays side by side. The emulators take most of the time of
#: a step, so that more are hardly faster (benchmarks/evaluation_speed.py).
N_ENVS = 16
