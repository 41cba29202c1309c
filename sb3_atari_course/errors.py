"""Errors of our own that a caller may want to tell from others."""


class TrainingFailedError(RuntimeError):
    """A training that had begun failed: a bug or a full disk, not a wrong argument."""
