"""Words of files in pictures."""

from __future__ import annotations

import io

import pytest

from sb3_atari_course.report.curves import make_figure, plain


@pytest.mark.parametrize("text", ["a$b$c", r"$\frac$", "one $", "$$", "two\nlines\there"])
def test_no_name_is_taken_for_a_formula(text: str) -> None:
    figure, axes = make_figure(1)
    title = axes.set_title(plain(text))
    figure.savefig(io.BytesIO())  # draws, and would fail on a formula that is none
    assert not title._preprocess_math(title.get_text())[1]
    assert title._preprocess_math(title.get_text())[0] == " ".join(text.split())
