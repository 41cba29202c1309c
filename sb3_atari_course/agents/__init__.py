"""Agents' files, opened without running anything that they hold.

- ``load_agent.py``    from a file to a model that plays
- ``card.py``          what the agents of a folder are: ``card.json``
- ``files.py``         regular files of bounded size; plain JSON
- ``stored_zip.py``    zips in which every byte has one meaning
- ``tensor_pickle.py`` the description of tensors, read without making anything
- ``weights.py``       tensors checked against it, then read by torch
- ``settings.py``      what is plainly said about a policy
- ``known.py``         the classes that a file may name
- ``plain_spaces.py``  spaces as JSON
- ``build.py``         the model, first without memory
- ``errors.py``        the one error
- ``publishing/``      the other way round: from a run folder to small files with a card
"""

from sb3_atari_course.agents.card import read_card, write_card
from sb3_atari_course.agents.errors import AgentFileError
from sb3_atari_course.agents.load_agent import load_agent

__all__ = ["AgentFileError", "load_agent", "read_card", "write_card"]
