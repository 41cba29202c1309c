"""Where an agent comes from."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch as th

from sb3_atari_course.agents.publishing.provenance import (
    describe_machine,
    find_commit,
    find_versions,
    saved_versions,
    wall_clock,
)


def git(*words: str, cwd: Path) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    who += ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    done = subprocess.run(
        ["git", *who, *words], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_says_whether_files_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert find_commit(tmp_path) is None  # no checkout
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
    assert find_commit(installed) is None  # the checkout around it is somebody else's


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit(Path(__file__).parent) is None


def test_versions_and_machine() -> None:
    versions = find_versions()
    assert {"python", "sb3_atari_course", "torch", "ale-py"} <= set(versions)
    assert "unknown" not in versions.values()
    card = th.cuda.get_device_name() if th.cuda.is_available() else "no card"
    assert re.fullmatch(rf".+, \d+ cores, \d+ GB, {re.escape(card)}", describe_machine())


def test_versions_are_those_of_the_training_as_far_as_its_zip_tells(tmp_path: Path) -> None:
    said = "- OS: Linux-6 # 1\n- Python: 3.10.1\n- PyTorch: 2.1.0+cu121\n- Numpy: 1.26.0\n"
    with zipfile.ZipFile(tmp_path / "agent.zip", "w") as file:
        file.writestr("system_info.txt", said)
    versions = {"python": "3.10.1", "torch": "2.1.0+cu121", "numpy": "1.26.0"}
    assert saved_versions(tmp_path / "agent.zip") == versions
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as file:
        file.writestr("data", "{}")
    assert saved_versions(tmp_path / "old.zip") == {}


def test_minutes_are_those_of_the_log(tmp_path: Path) -> None:
    assert wall_clock(tmp_path) is None
    log = "time/total_timesteps,time/time_elapsed\n10,6\n20,93\n"
    (tmp_path / "progress.csv").write_text(log)
    assert wall_clock(tmp_path) == 1.6  # 93 s
    (tmp_path / "progress.csv").write_text("time/total_timesteps,eval/mean_reward\n10,6\n")
    assert wall_clock(tmp_path) is None
