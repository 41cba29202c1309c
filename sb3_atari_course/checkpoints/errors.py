"""What can be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: damaged, missing, in use, or of another training."""
