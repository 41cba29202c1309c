"""``record``: RL Zoo's ``record_video``; a video appears, whole, when it is finished."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import rl_zoo3.utils

from sb3_atari_course.cli.enjoy import PlayParser, hand_over
from sb3_atari_course.cli.parser import add_device, add_output, chosen_model
from sb3_atari_course.zoo.experiment import check_device, refusals_of_hosts
from sb3_atari_course.zoo.playing import agent_for_rl_zoo, run_record_video, video_aside
from sb3_atari_course.zoo.run_folder import find_model

_DESCRIPTION = """\
Make a video of an agent: RL Zoo's record_video, for the run that evaluate takes. RUN is a run
folder, such as logs/dqn/CartPole-v1_1, and has to be the first argument. Below are the flags that
differ from RL Zoo's, then RL Zoo's own.
"""


@refusals_of_hosts()
def main(arguments: Sequence[str]) -> None:
    """Run the command. Ctrl-C or an error leaves nothing."""
    try:
        import moviepy  # noqa: F401  # asked for here, not after the model was loaded
    except ImportError:
        raise ImportError(
            'recording needs the extra "video": pip install "sb3_atari_course[video]"'
        ) from None
    parser = PlayParser("record", _DESCRIPTION)
    add_output(parser, "the video (default: videos in the run folder)")
    add_device(parser)
    args = parser.parse_play(arguments)
    if args.help:
        run_record_video()
    check_device(args.device)
    run, model_path = find_model(**chosen_model(args))
    agent = agent_for_rl_zoo(rl_zoo3.utils, args.algo, args.env, run, model_path, args.device)
    # of SB3's recorder when it is deleted after an error, which has been reported already
    warnings.filterwarnings("ignore", ".*Unable to save last video")
    with agent, video_aside(Path(args.output_folder or run / "videos")) as aside:
        hand_over(parser, args)
        sys.argv += ["-o", str(aside)]
        if run_record_video()["env"].step_id < args.n_timesteps:  # a Ctrl-C that RL Zoo caught
            raise KeyboardInterrupt
