"""Signals that ask a training to stop: they only set a flag, looked at between rollouts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

#: A second one of the same kind stops at once, as it would without us.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPING = "stopping after this rollout, with a checkpoint (once more: at once)"


class StopSignals:
    """Listens to Ctrl-C (SIGINT) and SIGTERM while a training runs.

    Only in the main thread, where Python handles signals.

    :param is_running: tells from the interrupted frame whether the training still runs; if it has
        ended without a word (an error), signals do again what they did before.
    """

    def __init__(self, is_running: Callable[[FrameType | None], bool]) -> None:
        self._is_running = is_running
        #: Kept for ever: whoever has taken the signals from us may give them back to us.
        self._before: dict[int, Any] = {}
        #: The number of the signal that came, None if none did.
        self.received: int | None = None

    def listen(self) -> None:
        """Take the signals; those that are ignored (``nohup``) stay ignored."""
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # None: one of another language, which nobody could give back
            if handler not in (signal.SIG_IGN, None, self._receive):
                self._before[number] = handler
                signal.signal(number, self._receive)

    def let_go(self) -> None:
        """Give the signals back to whoever had them."""
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) == self._receive:
                    signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None and self._is_running(frame):
            self.received = number
            with contextlib.suppress(OSError):  # the terminal may be gone
                # print() could be what was interrupted, and does not bear it
                os.write(2, f"\n{signal.Signals(number).name}: {_STOPPING}\n".encode())
            return
        self.let_go()
        signal.raise_signal(number)
