"""Native Atari environments in RL Zoo on import, for ``--gym-packages``.

All environments that RL Zoo's ``train`` and ``enjoy`` make are then
:class:`~sb3_atari_course.NativeAtariVecEnv`, with the settings of the wrappers in the yml file. The
launcher of this package imports it for ``--vec-env native``. It also registers the environment ids,
like :mod:`sb3_atari_course.register`.
"""

from rl_zoo3.exp_manager import ExperimentManager

from sb3_atari_course import register  # noqa: F401
from sb3_atari_course.envs.native.native_vec_env import native_from_wrappers

# RL Zoo expects a class; a function works because it is called with the same arguments
setattr(ExperimentManager, "default_vec_env_cls", staticmethod(native_from_wrappers))  # noqa: B010
