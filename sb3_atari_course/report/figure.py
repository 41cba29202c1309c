"""Figures that need no screen, and words that matplotlib shows as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_atari_course._common.atomic_files import write_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Told apart by colour-blind readers too (Okabe and Ito 2008), the palest last.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


def make_figure(
    rows: int, *, columns: int = 1, heights: Sequence[float] = (), share: bool = True
) -> tuple[Figure, Any]:
    """Return a figure and its axes, one column or one row of them, drawn without any screen.

    :param rows: panels below each other.
    :param columns: panels side by side, if there is one row.
    :param heights: how high each row is, in units of the lowest; default: the first twice the rest.
    :param share: panels below each other have the same x axis.
    :raises ImportError: without the extra ``plots``.
    """
    need_extra()
    from matplotlib.figure import Figure

    heights = heights or [2] + [1] * (rows - 1)
    size = (8, 0.5 + 1.9 * sum(heights)) if columns == 1 else (1.6 * columns, 2.4)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    share = share and columns == 1
    return figure, figure.subplots(rows, columns, sharex=share, height_ratios=heights)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file, whole or not at all; its folder is made if missing.

    :param path: its ending names the format, PNG without one.
    :raises ValueError: if it cannot be written.
    """
    kind = path.suffix[1:] or "png"
    write_result(
        path,
        lambda file: figure.savefig(file, format=kind),
        advice="choose another output folder (-o)",
    )


def need_extra() -> None:
    """Ask for the packages that draw and read, before any work is done.

    :raises ImportError: without the extra ``plots``.
    """
    try:
        import matplotlib.figure  # noqa: F401
        import pandas  # noqa: F401  # SB3 reads monitor files with it
    except ImportError:
        raise ImportError(
            'drawing needs the extra "plots": pip install "sb3_atari_course[plots]"'
        ) from None


def plain(text: object) -> str:
    r"""Return a text in which matplotlib finds no formula, whatever a folder is called.

    >>> plain("a $x$")
    'a \\$x\\$'
    """
    return " ".join(str(text).split()).replace("$", r"\$")


def tidy(axes: Any) -> None:
    """Give a panel a light grid, no box, and thousands with separators along x."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
