"""Tables of a report."""

from __future__ import annotations

from typing import Any

import pytest

from sb3_atari_course.report.tables import Markup, cell, key_table, table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "True"),
        (None, "None"),
        (1_000_000, "1,000,000"),
        (6.25e-5, "6.25e-05"),
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        (["<i>"], "<pre>[&#x27;&lt;i&gt;&#x27;]</pre>"),
        ({"b": 1, "a": ()}, "<pre>{&#x27;b&#x27;: 1, &#x27;a&#x27;: ()}</pre>"),
        (Markup("<b>"), "<b>"),
    ],
)
def test_a_cell(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_names_of_settings_are_text() -> None:
    assert '<th scope="row">&lt;script&gt;</th><td>&lt;b&gt;</td>' in key_table({"<script>": "<b>"})


def test_numbers_stand_to_the_right_with_their_head() -> None:
    html = table(["who", "n<"], [("x", 1), ("y", Markup("-2.5"))])
    assert '<th scope="col">who</th><th scope="col" class="number">n&lt;</th>' in html
    assert '<td>x</td><td class="number">1</td>' in html
    assert '<td>y</td><td class="number">-2.5</td>' in html


def test_a_table_may_be_empty() -> None:
    assert "<tbody></tbody>" in table(["a"], [])
