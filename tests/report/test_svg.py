"""Figures inside a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from sb3_atari_course.report.figure import make_figure
from sb3_atari_course.report.svg import inline_svg


def figure(title: str = "a title") -> Figure:
    figure, axes = make_figure(1)
    axes.plot([0, 1, 2], [3, 1, 2], "o-", label="values")
    axes.set_title(title)
    axes.legend()
    return figure


def ids(svg: str) -> list[str]:
    return re.findall(r'\bid="([^"]*)"', svg)


def references(svg: str) -> list[str]:
    return re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)


def test_two_figures_share_no_id() -> None:
    """Matplotlib itself gives the same ones: the test looks that they are told apart."""
    one, two = (inline_svg(figure(), name=name, label="") for name in ("one", "two"))
    assert len(ids(one)) == len(set(ids(one))) > 20
    assert not set(ids(one)) & set(ids(two))
    assert [name.removeprefix("one") for name in ids(one)] == [
        name.removeprefix("two") for name in ids(two)
    ]


def test_every_reference_is_found_in_its_own_figure() -> None:
    svg = inline_svg(figure(), name="one", label="")
    found = {one or other for one, other in references(svg)}
    assert found
    assert found <= set(ids(svg))
    assert "clip-path" in svg


def test_it_is_well_formed_and_asks_for_nothing() -> None:
    svg = inline_svg(figure(), name="one", label='scores "<of>" a run')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'scores "<of>" a run'
    assert (root.get("width"), root.get("viewBox") is not None) == (None, True)
    assert "http" not in svg
    assert "metadata" not in svg


def test_words_are_shapes_and_leave_no_comment() -> None:
    svg = inline_svg(figure("--> </svg><script>x</script> ]]>"), name="one", label="")
    assert "script" not in svg
    assert "<!--" not in svg
    assert svg.count("</svg>") == 1


def test_its_style_is_its_own() -> None:
    (style,) = re.findall(r"<style[^>]*>(.*?)</style>", inline_svg(figure(), name="one", label=""))
    assert re.findall(r"[^{}]+(?=\{)", style) == ["#one *"]


def test_the_same_figure_gives_the_same_text() -> None:
    assert inline_svg(figure(), name="a", label="") == inline_svg(figure(), name="a", label="")


@pytest.mark.parametrize("name", ["", "1a", 'a"b', "a b"])
def test_a_name_that_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and hyphens, got"):
        inline_svg(figure(), name=name, label="")
