"""The layers of an environment that we know, and which of their fields change while playing."""

from __future__ import annotations

#: Of each module: its wrappers, and the fields that decide how they go on. Left out are settings,
#: what is only drawn on a screen, and the clock of RecordEpisodeStatistics, which no other process
#: can read. Functions given to a wrapper are taken to be without a memory. A subclass is another
#: class: it may remember more.
_WRAPPERS: dict[str, dict[str, tuple[str, ...]]] = {
    "gymnasium.wrappers.common": {
        "Autoreset": ("autoreset",),
        "OrderEnforcing": ("_has_reset",),
        "PassiveEnvChecker": (
            "checked_reset",
            "checked_step",
            "checked_render",
            "checked_data_reuse",
            "_previous_data",
        ),
        "RecordEpisodeStatistics": (
            "episode_count",
            "episode_returns",
            "episode_lengths",
            "time_queue",
            "return_queue",
            "length_queue",
        ),
        "TimeLimit": ("_elapsed_steps",),
    },
    "gymnasium.wrappers.atari_preprocessing": {
        "AtariPreprocessing": ("obs_buffer", "lives", "game_over"),
    },
    "gymnasium.wrappers.stateful_action": {
        "RepeatAction": (),
        "StickyAction": ("last_action", "is_sticky_actions", "num_repeats", "repeats_taken"),
    },
    "gymnasium.wrappers.stateful_observation": {
        "DelayObservation": ("observation_queue",),
        "FrameStackObservation": ("obs_queue", "padding_value"),
        "MaxAndSkipObservation": ("_obs_buffer",),
        "NormalizeObservation": (
            "obs_rms.mean",
            "obs_rms.var",
            "obs_rms.count",
            "_update_running_mean",
        ),
        "TimeAwareObservation": ("timesteps",),
    },
    "gymnasium.wrappers.stateful_reward": {
        "NormalizeReward": (
            "return_rms.mean",
            "return_rms.var",
            "return_rms.count",
            "discounted_reward",
            "_update_running_mean",
        ),
    },
    "gymnasium.wrappers.transform_action": {
        "ClipAction": (),
        "DiscretizeAction": (),
        "RescaleAction": (),
        "TransformAction": (),
    },
    "gymnasium.wrappers.transform_observation": {
        "AddRenderObservation": (),
        "DiscretizeObservation": (),
        "DtypeObservation": (),
        "FilterObservation": (),
        "FlattenObservation": (),
        "GrayscaleObservation": (),
        "RescaleObservation": (),
        "ReshapeObservation": (),
        "ResizeObservation": (),
        "TransformObservation": (),
    },
    "gymnasium.wrappers.transform_reward": {"ClipReward": (), "TransformReward": ()},
    "stable_baselines3.common.monitor": {
        # not the lists of all episodes, which grow with the training: get_episode_rewards() and
        # its like tell of those since the last resume
        "Monitor": ("rewards", "needs_reset", "total_steps", "current_reset_info", "t_start"),
    },
    "stable_baselines3.common.atari_wrappers": {
        "AtariWrapper": (),  # the others stand inside it
        "ClipRewardEnv": (),
        "EpisodicLifeEnv": ("lives", "was_real_done"),
        "FireResetEnv": (),
        "MaxAndSkipEnv": ("_obs_buffer",),
        "NoopResetEnv": (),
        "StickyActionEnv": ("_sticky_action",),
        "WarpFrame": (),
    },
    "sb3_contrib.common.wrappers.action_masker": {"ActionMasker": ()},
    "sb3_contrib.common.wrappers.time_feature": {"TimeFeatureWrapper": ("_current_step",)},
    "rl_zoo3.gym_patches": {"PatchedTimeLimit": ("_elapsed_steps",)},
    "rl_zoo3.wrappers": {
        "ActionNoiseWrapper": (),  # it draws from numpy's global stream
        "ActionSmoothingWrapper": ("smoothed_action",),
        "DelayedRewardWrapper": ("current_step", "accumulated_reward"),
        "FrameSkip": (),
        "HistoryWrapper": ("obs_history", "action_history"),
        "HistoryWrapperObsDict": ("obs_history", "action_history"),
        "MaskVelocityWrapper": (),
        "TruncatedOnSuccessWrapper": ("current_successes",),
        "YAMLCompatResizeObservation": (),
    },
    "sb3_atari_course.wrappers.episode": {
        "FireOnReset": ("_lives",),
        "LifeLossTerminal": ("_lives", "_last_frame"),
        "NoopReset": (),
    },
    "sb3_atari_course.wrappers.screen": {"CropGrayResize": (), "FrameStack": ("_frames",)},
    "sb3_atari_course.wrappers.spaces": {
        "ClipReward": (),
        "DiscretizeActions": (),
        "DiscretizeObservations": (),
    },
    "sb3_atari_course.wrappers.timing": {"ActionRepeat": ("_checker_is_done",)},
}

#: The environments themselves; their random streams are saved for all of them.
_BASES: dict[str, dict[str, tuple[str, ...]]] = {
    "ale_py.env": {"AtariEnv": ()},  # and its emulator
    "gymnasium.envs.classic_control.acrobot": {"AcrobotEnv": ("state",)},
    "gymnasium.envs.classic_control.cartpole": {
        "CartPoleEnv": ("state", "steps_beyond_terminated")
    },
    "gymnasium.envs.classic_control.continuous_mountain_car": {
        "Continuous_MountainCarEnv": ("state",)
    },
    "gymnasium.envs.classic_control.mountain_car": {"MountainCarEnv": ("state",)},
    "gymnasium.envs.classic_control.pendulum": {"PendulumEnv": ("state", "last_u")},
    "gymnasium.envs.toy_text.blackjack": {
        "BlackjackEnv": ("dealer", "player", "dealer_top_card_suit", "dealer_top_card_value_str")
    },
    "gymnasium.envs.toy_text.cliffwalking": {"CliffWalkingEnv": ("s", "lastaction")},
    "gymnasium.envs.toy_text.frozen_lake": {
        # its map too, which is another one in each process with desc=None
        "FrozenLakeEnv": ("s", "lastaction", "desc", "P", "initial_state_distrib")
    },
    "gymnasium.envs.toy_text.taxi": {
        "TaxiEnv": ("s", "lastaction", "fickle_step", "taxi_orientation")
    },
}

#: Importing RL Zoo puts the first one in the place of the second.
_SAME = {"rl_zoo3.gym_patches.PatchedTimeLimit": "gymnasium.wrappers.common.TimeLimit"}

#: Full name of a class -> its fields; a dot leads into an object that a field holds.
FIELDS: dict[str, tuple[str, ...]] = {
    f"{module}.{name}": fields
    for table in (_WRAPPERS, _BASES)
    for module, classes in table.items()
    for name, fields in classes.items()
}


def full_name(layer: object) -> str:
    """Return module and name of the class of a layer; the two kinds of TimeLimit have one."""
    name = f"{type(layer).__module__}.{type(layer).__qualname__}"
    return _SAME.get(name, name)
