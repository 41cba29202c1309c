"""Errors of our own that a caller may want to tell from others."""


class TrainingFailedError(RuntimeError):
    """A training that had begun failed: a bug or a full disk, not a wrong argument."""


class SettingError(ValueError):
    """A setting proved wrong when a training began: found there, because not before."""


class ReplayMemoryError(MemoryError):
    """A replay memory will not fit into what the machine has."""
