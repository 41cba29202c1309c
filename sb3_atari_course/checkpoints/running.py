"""Which trainings run in this process: told by the frames of ``learn()``; an error says nothing."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Protocol
from weakref import WeakSet


class Holder(Protocol):
    """Something that holds the folder of a training, and the signals."""

    model: Any

    def let_go(self) -> None:
        """Give both back."""


#: Those of this process.
_HOLDERS: WeakSet[Any] = WeakSet()


def hold(holder: Holder) -> None:
    """Remember who holds a folder while its model learns."""
    _HOLDERS.add(holder)


def let_go_of_dead_trainings() -> None:
    """Free the folders of trainings that have ended in an error."""
    for holder in list(_HOLDERS):
        if not any(is_learning(holder.model, frame) for frame in sys._current_frames().values()):
            holder.let_go()
            _HOLDERS.discard(holder)


def is_learning(model: Any, frame: FrameType | None) -> bool:
    """Tell whether some code was called by ``learn()`` of a model: errors end it, too."""
    while frame is not None:
        if frame.f_code.co_name == "learn" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False
