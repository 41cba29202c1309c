"""torch.compile where it works, with one clear line where it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import torch as th

P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """A function that PyTorch compiles at its first call, a matter of half a minute.

    If that fails, for want of a C++ compiler, say, there is one warning, and the function runs as
    it is from then on.

    :param function: of tensors.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._eager = function
        self._function: Callable[P, R] = th.compile(function)
        self._is_proven = False

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        if self._is_proven:
            return self._function(*args, **kwargs)
        try:
            result = self._function(*args, **kwargs)
        except Exception as error:  # whatever it is: if it is not the compiler's, it comes again
            result = self._eager(*args, **kwargs)
            warnings.warn(
                f"compile=True has no effect, training goes on without: {_first_line(error)}."
                " On a CPU it needs a C++ compiler (g++, clang++ or MSVC, named by CXX) and"
                " Python's headers, on a card Triton",
                stacklevel=2,
            )
            self._function = self._eager
        self._is_proven = True
        return result


def _first_line(error: Any) -> str:
    """Return what an error says in its first line that says anything."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".:")
