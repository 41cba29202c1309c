"""What all layers use: validation, errors, files, arrays; and numbers that several name."""

#: Cap of a game, in emulator frames: half an hour; Mnih et al. 2015 play for as long.
MAX_FRAMES = 108_000
