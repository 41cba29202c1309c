"""Agent files: safe loading of SB3 zips without unpickling, model cards, and publishing.

- ``loading.py``     :func:`load_agent`: an SB3 zip as a model ready for inference
- ``weights.py``     safe reading of files, zips and tensors
- ``agent_card.py``  model card of a folder (``card.json``), and the classes that a file may name
- ``publishing.py``  from a run folder to small files with a model card
"""

from sb3_atari_course.agents.agent_card import read_card, write_card
from sb3_atari_course.agents.loading import load_agent
from sb3_atari_course.agents.weights import AgentFileError

__all__ = ["AgentFileError", "load_agent", "read_card", "write_card"]
