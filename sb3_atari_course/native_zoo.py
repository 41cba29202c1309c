"""Importing this module lets RL Zoo play Atari games natively: for ``--gym-packages``.

All environments that RL Zoo's ``train`` and ``enjoy`` make are then
:class:`~sb3_atari_course.NativeAtariVecEnv`, with the settings of the yml's wrappers. Our launcher
does it for ``--vec-env native``. It also registers our ids, as :mod:`sb3_atari_course.register`.
"""

from rl_zoo3.exp_manager import ExperimentManager

from sb3_atari_course import register  # noqa: F401
from sb3_atari_course.envs.native.native_vec_env import native_from_wrappers

# a function where RL Zoo expects a class: it is called with the same arguments
setattr(ExperimentManager, "default_vec_env_cls", staticmethod(native_from_wrappers))  # noqa: B010
