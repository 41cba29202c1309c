"""Code blocks of README and documentation.

A line ``<!-- slow -->`` or ``<!-- not run: REASON -->`` directly above a block marks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", flags=re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``page`` is relative to the repository, ``line`` that of its first line."""

    page: str
    line: int
    language: str
    code: str
    mark: str

    @property
    def is_run(self) -> bool:
        return not self.mark.startswith("not run: ")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(text: str, page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(page, line, found["language"], found["code"], found["mark"] or "")


def all_blocks(language: str) -> list[Block]:
    return [
        block
        for page in PAGES
        for block in blocks_of(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
        if block.language == language
    ]
