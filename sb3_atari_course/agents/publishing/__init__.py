"""From the run folder of a training to a folder of agents that is small enough to be shipped.

- ``publish.py``     the way of a run: choose the best, slim, score, describe
- ``selection.py``   which of its files is the best, on games of their own
- ``slim.py``        an agent's zip without what only a training needs
- ``settings.py``    ``config.yml`` and ``args.yml`` that stock RL Zoo reads, without Python objects
- ``training.py``    how it was trained: command, commit, versions, hardware, wall-clock
- ``command.py``     ``python -m sb3_atari_course publish``
"""

from sb3_atari_course.agents.publishing.publish import publish

__all__ = ["publish"]
