"""Provenance of a training: commit, versions, hardware."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch as th

from sb3_atari_course.zoo.run_folder import PROVENANCE, find_commit, write_provenance


def git(*arguments: str, cwd: Path) -> str:
    config = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    config += ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    done = subprocess.run(
        ["git", *config, *arguments], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_is_marked_dirty_if_files_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert find_commit(tmp_path) is None  # not a checkout
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "file").write_text("one")
    git("add", "file", cwd=tmp_path)
    git("commit", "--quiet", "--message", "one", cwd=tmp_path)
    commit = git("rev-parse", "HEAD", cwd=tmp_path)
    assert find_commit(tmp_path) == commit
    git("tag", "v1", cwd=tmp_path)
    assert find_commit(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert find_commit(tmp_path) == f"{commit}-dirty"
    installed = tmp_path / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert find_commit(installed) is None  # untracked in the surrounding checkout


def test_commit_is_none_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit(Path(__file__).parent) is None


def test_provenance_has_commit_versions_and_hardware(tmp_path: Path) -> None:
    write_provenance(tmp_path)
    note = json.loads((tmp_path / PROVENANCE).read_text())
    assert note["commit"] == find_commit(Path(__file__).parents[2] / "sb3_atari_course")
    assert {"python", "sb3_atari_course", "torch", "ale-py"} <= set(note["versions"])
    gpu = th.cuda.get_device_name() if th.cuda.is_available() else "no GPU"
    assert re.fullmatch(rf".+, \d+ cores, \d+ GB, {re.escape(gpu)}", note["hardware"])
