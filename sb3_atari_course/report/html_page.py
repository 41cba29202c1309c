"""Self-contained HTML pages from a template: no scripts, no network, figures inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_atari_course import __version__
from sb3_atari_course._common.atomic_files import write_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(path: Path, template: Path, **contents: Any) -> Path:
    """Render a template that extends ``page.html``, and write it atomically.

    Autoescaping keeps the content of a run's files text; equal contents give equal bytes.

    :param path: the HTML file; its folder is created if missing.
    :param contents: variables of the template.
    :return: the same path.
    :raises ValueError: if it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    page = environment.get_template(template.name).render(version=__version__, **contents)
    write_result(
        path, lambda file: file.write(page.encode()), advice="choose another output folder (-o)"
    )
    return path


def as_data_url(figure: Figure) -> str:
    """Return a figure as an SVG for the ``src`` of an ``<img>``; equal figures give equal text."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "sb3_atari_course", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def format_number(value: float) -> str:
    """Return a score or a mean, with two decimals at most.

    >>> format_number(21.0), format_number(-13.256), format_number(12345.5)
    ('21', '-13.26', '12,345.5')
    """
    return f"{value:,.2f}".rstrip("0").rstrip(".")
