"""Why an environment cannot be saved, or a state not be restored."""

from __future__ import annotations

from sb3_atari_course._common.errors import CheckpointError


class UnsavableEnvError(ValueError):
    """An environment whose state nobody can save; the message names the layer and the remedy."""


class EnvStateError(CheckpointError):
    """A state of another environment: other layers, or another number of environments."""
