"""Agents' files: loaded without running anything that they hold, and published.

- ``loading.py``     from a file to a model that plays
- ``weights.py``     files, zips and tensors, opened safely
- ``agent_card.py``  ``card.json``: what the agents of a folder are; what a file may name
- ``publishing.py``  from a run folder to small files with a card
"""

from sb3_atari_course.agents.agent_card import read_card, write_card
from sb3_atari_course.agents.loading import load_agent
from sb3_atari_course.agents.weights import AgentFileError

__all__ = ["AgentFileError", "load_agent", "read_card", "write_card"]
