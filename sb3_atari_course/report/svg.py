"""A figure as SVG inside an HTML page, where several of them do not disturb each other."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: matplotlib's frame around the picture: XML header, sizes in points, namespaces.
_HEAD = re.compile(r"\A.*?<svg\b[^>]*?viewBox=\"([^\"]+)\"[^>]*>", re.DOTALL)

#: Never seen by anyone: licence terms, and all texts once more as comments.
_INVISIBLE = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)


def inline_svg(figure: Figure, *, name: str, label: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Texts become shapes, so that it looks the same without matplotlib's fonts. matplotlib numbers
    clip paths and glyphs alike in every figure; here all ids begin with ``name``, and the style
    holds for this figure only. The same figure and name give the same text.

    :param figure: drawn again for this; not changed.
    :param name: no other figure of the page may have it: letters, digits, hyphens.
    :param label: what a screen reader says.
    :raises ValueError: for a name of other characters.
    """
    import matplotlib

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        raise ValueError(f"name is an id of letters, digits and hyphens, got {name!r}")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "the same always", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    text = _INVISIBLE.sub("", buffer.getvalue())
    head = _HEAD.match(text)
    assert head is not None, "matplotlib's SVG begins in another way"
    body = text[head.end() :].replace("xlink:href=", "href=")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = body.replace("*{", f"#{name} *{{")
    return (
        f'<svg id="{name}" viewBox="{head[1]}" role="img" aria-label="{html.escape(label)}">'
        f"{body.strip()}"
    )
