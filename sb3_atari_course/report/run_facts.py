"""What was run, and how well it plays: settings, command, scores and files of a run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_sb3 import EnvironmentName

from sb3_atari_course._common.passwords import command_without_passwords, without_passwords
from sb3_atari_course.evaluation import GamesReport
from sb3_atari_course.zoo.run_folder import read_settings, sha256_of

#: Wrappers that hold an action for some frames, also of SB3, RL Zoo and Gymnasium; 4 by default.
_SKIPPING = (
    "wrap_atari",
    "ActionRepeat",
    "AtariPreprocessing",
    "AtariWrapper",
    "FrameSkip",
    "MaxAndSkipEnv",
)

#: What the games report has beside its own fields.
_SUMMARY = ("model", "model_sha256", "mean", "std", "random_mean")

#: What :attr:`RunFacts.evaluated` says of the model that RL Zoo has saved last, and of one before.
AGENT, EARLIER = "the agent", "an earlier model"


@dataclass(frozen=True)
class RunFacts:
    """Everything about a run but its curves.

    :param folder: the run folder.
    :param algo: RL Zoo's name of the algorithm, None if no ``args.yml`` tells.
    :param env_id: the environment, None if no ``args.yml`` tells.
    :param seed: of the training.
    :param arguments: ``args.yml``, {} if it is not there.
    :param hyperparams: ``config.yml``, {} if it is not there.
    :param command: the command that trained it, "" if nobody knows.
    :param report: ``evaluation.json``, None if it was not evaluated.
    :param evaluated_model: file that was evaluated.
    :param evaluated: whose scores these are: "the agent", as it is in the folder now, "an earlier
        model" if that file has been replaced since, or another file, "best_model.zip".
    """

    folder: Path
    algo: str | None
    env_id: str | None
    seed: int | None
    arguments: dict[str, Any]
    hyperparams: dict[str, Any]
    command: str
    report: GamesReport | None
    evaluated_model: str
    evaluated: str

    @property
    def title(self) -> str:
        """Return algorithm, environment and folder's name, as far as they are known."""
        name, env_id = self.folder.resolve().name, self.env_id
        known = env_id is None or name.startswith(EnvironmentName(env_id))
        return " · ".join(word for word in (self.algo, None if known else env_id, name) if word)

    @property
    def model(self) -> Path | None:
        """The model that RL Zoo has saved last, None if there is none."""
        path = self.folder / f"{EnvironmentName(self.env_id)}.zip" if self.env_id else None
        return path if path is not None and path.is_file() else None

    @property
    def is_finished(self) -> bool:
        """Whether the training ended: RL Zoo saves the model then."""
        return self.model is not None

    @property
    def frame_skip(self) -> int | None:
        """Steps of Monitor in one agent step: frames, for a game; None without ``config.yml``."""
        return _frame_skip(self.hyperparams.get("env_wrapper")) if self.hyperparams else None

    @property
    def video(self) -> Path | None:
        """The newest video in the folder, None if it was not filmed."""
        found = self.folder.rglob("*.mp4")  # ".part-...": of a record that was killed
        videos = [one for one in found if not one.parent.name.startswith(".part-")]
        return max(videos, key=lambda path: path.stat().st_mtime_ns, default=None)

    @property
    def is_video_earlier(self) -> bool:
        """Whether the model has been saved since the newest video was recorded."""
        video, model = self.video, self.model
        if video is None or model is None:
            return False
        return video.stat().st_mtime_ns < model.stat().st_mtime_ns

    @property
    def files(self) -> list[Path]:
        """All files of the folder in alphabetical order, but the report itself."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(path for path in files if path != self.folder / "report.html")


def read_facts(folder: Path) -> RunFacts:
    """Read what a run folder tells beside its curves; no file of it has to be there.

    Passwords of addresses (``--storage``) are left out: what is read here is made to be shown.

    :raises ValueError: for a file that cannot be read.
    """
    settings = min(
        [path.parent for name in ("args.yml", "config.yml") for path in folder.glob(f"*/{name}")],
        default=folder,
    )
    hyperparams, arguments = (without_passwords(one) for one in read_settings(settings))
    command = settings / "command.txt"
    words = command.read_text(encoding="utf-8").strip() if command.is_file() else ""
    env_id = str(arguments["env"]) if arguments.get("env") else None
    report, model, sha256 = _read_evaluation(folder / "evaluation.json")
    evaluated = model
    if _was_replaced(folder / model, sha256, folder / "evaluation.json"):
        evaluated = EARLIER
    elif model == "" or env_id is None or model == f"{EnvironmentName(env_id)}.zip":
        evaluated = AGENT
    return RunFacts(
        folder=folder,
        algo=str(arguments["algo"]) if arguments.get("algo") else None,
        env_id=env_id,
        seed=arguments.get("seed"),
        arguments=arguments,
        hyperparams=hyperparams,
        command=command_without_passwords(words),
        report=report,
        evaluated_model=model,
        evaluated=evaluated,
    )


def _was_replaced(model: Path, sha256: str | None, evaluation: Path) -> bool:
    """Tell whether a model is not the one that was evaluated; one that is gone is not another.

    :param sha256: of the one that was evaluated; None: an older version did not write it down.
    """
    if not model.is_file():
        return False
    if sha256 is None:
        return model.stat().st_mtime > evaluation.stat().st_mtime
    return sha256_of(model) != sha256


def _read_evaluation(path: Path) -> tuple[GamesReport | None, str, str | None]:
    """Return what the ``evaluate`` command wrote: the report, the model's file and its SHA-256."""
    if not path.is_file():
        return None, "", None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
            if name not in _SUMMARY
        }
        report = GamesReport(**fields)
        for scores in (report.scores, report.random_scores, report.lengths, report.penalties):
            sum(scores)  # numbers, every one of them
        if not report.scores:
            raise ValueError("no scores")
        dict(report.protocol)
        return report, str(content.get("model", "")), content.get("model_sha256")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read: {error}; run the evaluate command again, or remove the file"
        ) from error


def _frame_skip(wrappers: Any) -> int:
    """Return how many frames the wrappers of a yml hold an action: 1 if none of them does."""
    entries = wrappers if isinstance(wrappers, (list, tuple)) else [wrappers]
    product = 1
    for entry in entries:
        for name, kwargs in entry.items() if isinstance(entry, dict) else [(entry, None)]:
            if str(name).rsplit(".", 1)[-1] in _SKIPPING:
                kwargs = kwargs if isinstance(kwargs, dict) else {}
                skip = kwargs.get("frame_skip", kwargs.get("skip", 4))
                product *= skip if isinstance(skip, int) and skip > 0 else 1
    return product
