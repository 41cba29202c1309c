"""The state of environments as plain data: exactly, or the reason why not.

- ``env_state.py``        one environment with all its wrappers
- ``env_layers.py``       which classes are known, and which of their fields change while playing
- ``fields.py``           fields of an object as plain data
- ``spaces_state.py``     random streams of action spaces
- ``emulator_state.py``   an ale-py emulator; ``sticky_actions.py``: in which frames one sticks
- ``vec_env_state.py``    SB3's VecEnvs; ``vec_wrappers_state.py``: the wrappers around them
- ``savable.py``          the wrapper that lets checkpoints reach worker processes
- ``errors.py``           why an environment cannot be saved or restored
"""
