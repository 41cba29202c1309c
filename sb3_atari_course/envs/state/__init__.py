"""The state of environments as plain data: exactly, or the reason why not.

- ``env_state.py``       one environment with all its wrappers, also in a worker process: the known
  classes and which of their fields change while playing; random generators
- ``emulator_state.py``  an ale-py emulator, with the action that sticks
- ``vec_env_state.py``   SB3's VecEnvs and the wrappers around them
"""
