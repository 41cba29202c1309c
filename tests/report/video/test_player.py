"""A player carries its video."""

from __future__ import annotations

from pathlib import Path

from sb3_atari_course.report.video import video_html


def test_a_player_carries_its_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    html = video_html(tmp_path / "a.mp4", width=200)
    assert 'width="200" src="data:video/mp4;base64,ZmlsbQ=="' in html
    assert "<script" not in html
    assert "width" not in video_html(tmp_path / "a.mp4")
