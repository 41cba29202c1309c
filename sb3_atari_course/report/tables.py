"""Tables in HTML; every cell is text and nothing else, whatever a run's files hold."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pprint import pformat
from typing import Any


class Markup(str):
    """HTML that stands in a table as it is: made here, not read from a file."""

    __slots__ = ()


def cell(value: Any) -> Markup:
    """Return a value as HTML: nested ones over several lines, numbers with separators.

    >>> cell(10_000), cell(0.5), cell("<b>")
    ('10,000', '0.5', '&lt;b&gt;')
    """
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool) or value is None:
        return Markup(value)
    if isinstance(value, int):
        return Markup(f"{value:,}")
    if isinstance(value, (dict, list, tuple)):
        return Markup(f"<pre>{html.escape(pformat(value, width=70, sort_dicts=False))}</pre>")
    return Markup(html.escape(str(value)))


def key_table(values: Mapping[str, Any]) -> str:
    """Return a table of two columns: name and value.

    :param values: anything; nested values are shown as Python writes them.
    """
    rows = (
        f'<tr><th scope="row">{html.escape(str(key))}</th><td>{cell(value)}</td></tr>'
        for key, value in values.items()
    )
    return _wrap("keys", "".join(rows))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table with a head.

    :param columns: its head.
    :param rows: as many values each; numbers stand to the right, and so does their head.
    """
    rows = list(rows)
    sides = [_right(value) for value in rows[0]] if rows else [""] * len(columns)
    head = "".join(
        f'<th scope="col"{side}>{html.escape(column)}</th>'
        for column, side in zip(columns, sides, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{_right(value)}>{cell(value)}</td>' for value in row)}</tr>"
        for row in rows
    )
    return _wrap("rows", f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")


def number(value: float) -> Markup:
    """Return a score or a mean, with two decimals at most.

    >>> number(21.0), number(-13.256), number(12345.5)
    ('21', '-13.26', '12,345.5')
    """
    text = f"{value:,.2f}"
    return Markup(text.rstrip("0").rstrip(".") if "." in text else text)


def _right(value: Any) -> str:
    is_number = isinstance(value, (int, float)) or (
        isinstance(value, Markup) and value[:1] in "-0123456789" and value != ""
    )
    return ' class="number"' if is_number else ""


def _wrap(kind: str, rows: str) -> str:
    """Return the table in a box that scrolls where a window is narrow."""
    return f'<div class="scroll"><table class="{kind}">{rows}</table></div>'
