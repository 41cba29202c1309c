"""The picture of the pipeline."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sb3_atari_course.report import plot_pipeline


def test_the_picture_of_the_pipeline(tmp_path: Path) -> None:
    path = plot_pipeline(tmp_path / "pipeline.png")
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 200
    assert picture.shape[1] > 1000
    colored = np.ptp(picture.astype(int), axis=2) > 60
    assert colored.sum() > 300  # the coloured screen
    assert not colored[:, 170:].any()  # the other stages are grey
