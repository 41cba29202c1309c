"""Breakout: what is read against the screen, statistics, whole games, Q-values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from numpy.typing import NDArray
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course import wrap_atari
from sb3_atari_course.course.breakout import (
    BreakoutState,
    BreakoutWatch,
    GameStatistics,
    draw_q_values,
    q_values_of,
    read_state,
    watch_games,
)
from tests.course.breakout_players import (
    FIRE,
    LEFT,
    NOOP,
    dig_tunnel,
    follow,
    loose_pixels,
    paddle_columns,
    standing_bricks,
)
from tests.fakes import FakeGame, ScriptedPlayer

Played = Iterator[tuple[NDArray[np.uint8], BreakoutState]]


def play(seed: int, n_frames: int, *, p_random: float, tunnel: bool = False) -> Played:
    """Yield screen and state of each frame of scripted play, some of it random."""
    env = gym.make("BreakoutNoFrameskip-v4")
    rng = np.random.default_rng(seed)
    screen, _ = env.reset(seed=seed)
    aim = 0
    for frame in range(n_frames):
        yield screen, read_state(env)
        if frame % 120 == 0:
            aim = int(rng.integers(-5, 6))
        action = follow(env.unwrapped.ale.getRAM(), aim)
        if rng.random() < p_random:
            action = int(rng.integers(4))
        screen, reward, terminated, truncated, _ = env.step(action)
        if reward and tunnel:
            dig_tunnel(env)
            screen, _, terminated, truncated, _ = env.step(NOOP)
            tunnel = False
        if terminated or truncated:
            screen, _ = env.reset()


def assert_is_shown(state: BreakoutState, screen: NDArray[np.uint8]) -> bool:
    """Compare a state with its pixels; return whether the whole ball was seen."""
    np.testing.assert_array_equal(state.bricks, standing_bricks(screen))
    loose = loose_pixels(screen, state.bricks)
    if state.ball_y is None or state.ball_x is None:
        assert state.ball_x is None
        assert not loose
        return False
    drawn = pixels_of(state.ball_x, state.ball_y)
    near_wall = {(y - 1, x) for y, x in drawn}
    if state.ball_y < 96:  # the console draws the ball up to a row higher beside bricks
        assert visible(drawn & near_wall, state) <= loose <= visible(drawn | near_wall, state)
    else:
        assert loose == visible(drawn, state)
    return len(loose) >= 8


def pixels_of(x: int, y: int) -> set[tuple[int, int]]:
    """Return (row, column) of the pixels of a ball whose middle is there."""
    return {(row, column) for row in range(y - 2, y + 2) for column in range(x - 1, x + 1)}


def visible(ball: set[tuple[int, int]], state: BreakoutState) -> set[tuple[int, int]]:
    """Return what is hidden neither by the walls nor by bricks nor by the paddle."""

    def is_brick(y: int, x: int) -> bool:
        return 57 <= y < 93 and bool(state.bricks[(y - 57) // 6, (x - 8) // 8])

    return {(y, x) for y, x in ball if 32 <= y < 189 and 8 <= x < 152 and not is_brick(y, x)}


def assert_paddle_is_shown(state: BreakoutState, screen: NDArray[np.uint8]) -> None:
    left = state.paddle_x - state.paddle_width // 2
    expected = list(range(left, min(left + state.paddle_width, 152)))
    if state.ball_y == 191:  # it has the paddle's colour and stands in its four rows
        assert set(expected) <= set(paddle_columns(screen))
    else:
        assert paddle_columns(screen) == expected


@pytest.mark.parametrize(("seed", "p_random", "n_frames"), [(1, 0.3, 600), (2, 1.0, 300)])
def test_what_is_read_is_what_is_shown(seed: int, p_random: float, n_frames: int) -> None:
    n_seen = 0
    for screen, state in play(seed, n_frames, p_random=p_random):
        n_seen += assert_is_shown(state, screen)
        assert_paddle_is_shown(state, screen)
    assert n_seen > n_frames // 2


def test_above_the_wall_and_with_the_small_paddle() -> None:
    rows, widths = set(), set()
    for screen, state in play(1, 600, p_random=0.0, tunnel=True):
        assert_is_shown(state, screen)
        assert_paddle_is_shown(state, screen)
        rows.add(state.ball_y)
        widths.add(state.paddle_width)
    assert widths == {12, 16}
    assert min(row for row in rows if row is not None) < 57, "the ball was above the wall"


def test_wrappers_do_not_matter_and_there_is_no_ball_before_fire() -> None:
    env = wrap_atari(gym.make("BreakoutNoFrameskip-v4"), n_stack=4, fire_on_reset=False)
    env.reset(seed=0)
    before = read_state(env)
    assert (before.ball_x, before.ball_y, before.ball_in_play) == (None, None, False)
    assert (before.paddle_x, before.paddle_width, before.lives) == (107, 16, 5)
    assert before.bricks.shape == (6, 18)
    assert before.bricks.all()
    env.step(FIRE)
    assert read_state(env).ball_in_play


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("PongNoFrameskip-v4", {}, "only Breakout .*Pong"),
        ("CartPole-v1", {}, "only Breakout .*CartPole"),
        ("BreakoutNoFrameskip-v4", {"mode": 4}, "mode=4"),
        ("ALE/Breakout-v5", {}, "plays 4 a step"),
    ],
)
def test_other_games_cannot_be_watched(env_id: str, kwargs: dict[str, Any], message: str) -> None:
    env = gym.make(env_id, **kwargs)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        BreakoutWatch(env)


def state(
    ball: tuple[int, int] | None, *, paddle_x: int = 80, gone: tuple[tuple[int, int], ...] = ()
) -> BreakoutState:
    """Return a state; ``ball`` is (x, y), ``gone`` the bricks that do not stand."""
    bricks = np.ones((6, 18), bool)
    for brick in gone:
        bricks[brick] = False
    x, y = ball or (None, None)
    return BreakoutState(paddle_x, 16, x, y, lives=5, bricks=bricks)


HIT = {"gone": ((5, 8),)}
DOWN_AND_UP = [state((80, y)) for y in (180, 186, 180, 110)]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([state(None)] * 3, {"n_frames": 2, "score": 8.0}, id="sums"),
        pytest.param(
            [state((80, 100)), state((80, 97)), state((80, 100), **HIT)],
            {"n_bricks": 1, "n_from_above": 0, "n_returns": 0},
            id="a rising ball hits from below",
        ),
        pytest.param(
            [state((80, 45)), state((80, 48)), state((82, 48)), state((82, 45), **HIT)],
            {"n_bricks": 1, "n_from_above": 1, "n_returns": 0},
            id="a falling ball hits from above, also after a frame in the same row",
        ),
        pytest.param(
            [state((80, 97)), *[state((80, 100), **HIT)] * 2, state((80, 103)), state((80, 106))],
            {"n_bricks": 1},
            id="a brick counts once, a new wall does not",
        ),
        pytest.param(
            # falls in the upper half; in the lower half, 66 columns left of the paddle and 120
            # right of it; rises
            [state(ball) for ball in ((10, 90), (12, 100), (14, 110), (200, 113), (18, 110))],
            {"distances": [66, 120]},
            id="distances while it falls in the lower half",
        ),
        pytest.param(
            [*DOWN_AND_UP * 3, state(None), *DOWN_AND_UP * 2],
            {"n_returns": 5, "longest_rally": 3},
            id="a rally is what the paddle returns in one life",
        ),
        pytest.param(
            [state((80, 202)), state((80, 205)), state(None), state((80, 120))],
            {"n_returns": 0},
            id="a lost ball is no return",
        ),
    ],
)
def test_statistics_of_frames(states: list[BreakoutState], expected: dict[str, Any]) -> None:
    statistics = GameStatistics()
    for before, after in pairwise(states):
        statistics.add(before, after, reward=4.0)
    assert {name: getattr(statistics, name) for name in expected} == expected


class TestWhoBeginsALife:
    def test_one_who_never_fires_never_plays(self) -> None:
        report = watch_games(
            ScriptedPlayer([NOOP, LEFT]), n_games=2, seed=0, forced_fire=False, max_frames=400
        )
        assert report.scores == (0.0, 0.0)
        assert report.waits == (None, None)
        assert report.fired_share == 0.0
        assert (report.wait, report.distance, report.from_above_share) == (None, None, None)
        assert (report.bricks, report.longest_rally, report.n_capped) == (0.0, 0, 2)

    def test_one_who_always_fires_never_waits(self) -> None:
        report = watch_games(ScriptedPlayer([FIRE]), n_games=2, seed=0, forced_fire=False)
        assert report.waits == (0,) * 10  # five lives a game
        assert (report.fired_share, report.wait, report.n_capped) == (1.0, 0.0, 0)
        text = str(report)
        assert "100% of 10, after 0.0 steps" in text
        assert f"{report.distance:.1f} pixels" in text
        assert "cut off: 0 of 2 games" in text
        assert "epsilon 0.0, forced_fire False, max_frames 18000" in text

    def test_steps_of_waiting_are_agent_steps(self) -> None:
        player = ScriptedPlayer([NOOP, NOOP, NOOP, FIRE, *[NOOP] * 1000])
        report = watch_games(player, n_games=1, seed=0, forced_fire=False, max_frames=200)
        assert report.waits[0] == 3

    @pytest.mark.parametrize("action", [NOOP, FIRE])  # FIRE begins lives before it is forced
    def test_with_forced_fire_nobody_is_asked(self, action: int) -> None:
        report = watch_games(ScriptedPlayer([action]), n_games=1, seed=0)
        assert (report.waits, report.fired_share, report.n_capped) == ((), None, 0)
        assert "FIRE is forced" in str(report)


class TestPlay:
    def test_counts_are_those_of_the_pixels(self) -> None:
        watch = BreakoutWatch(gym.make("BreakoutNoFrameskip-v4"))
        screen, _ = watch.reset(seed=0)
        rows = [0.0, 0.0]  # of what was seen of the ball
        n_bricks = n_paid = n_from_above = 0
        wall = standing_bricks(screen)
        rng, aim = np.random.default_rng(1), 0
        for frame in range(1000):
            if frame % 120 == 0:
                aim = int(rng.integers(-5, 6))
            action = follow(watch.unwrapped.ale.getRAM(), aim)
            screen, reward, terminated, _, _ = watch.step(action)
            assert not terminated
            if reward:
                n_paid += 1
                before, wall = wall, standing_bricks(screen)
                n_bricks += int((before & ~wall).sum())
                n_from_above += rows[-1] > rows[-2]
            if n_paid == 1 and wall.sum() == 107:
                dig_tunnel(watch)
                watch.state = read_state(watch)  # so that our digging is not counted
                wall = watch.state.bricks
            ball = loose_pixels(screen, wall)
            if ball:
                rows.append(float(np.mean([y for y, _ in ball])))
        (statistics,) = watch.games
        assert (statistics.n_bricks, statistics.n_from_above) == (n_bricks, n_from_above)
        assert n_bricks == n_paid
        assert n_from_above > 5
        assert statistics.longest_rally > 3
        assert np.mean(statistics.distances) < 16

    def test_a_game_that_is_cut_off_inside_a_forced_fire_is_over(self) -> None:
        ends: list[int] = []

        class Tape(gym.Wrapper[Any, Any, Any, Any]):
            def step(self, action: Any) -> Any:
                result = self.env.step(action)
                if result[2]:
                    ends.append(result[4]["episode_frame_number"])
                return result

        env = wrap_atari(gym.make("BreakoutNoFrameskip-v4"), fire_on_reset=False)
        env = Tape(env)
        env.reset(seed=int(np.random.default_rng([0, 0]).integers(2**31)))
        env.step(FIRE)
        while not ends:
            env.step(NOOP)
        report = watch_games(ScriptedPlayer([NOOP]), n_games=1, seed=0, max_frames=ends[0] + 2)
        assert [game.n_frames for game in report.games] == [ends[0] + 2]
        assert report.n_capped == 1


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"n_games": 0}, "n_games must be at least 1, got 0"),
            ({"epsilon": 0.1, "forced_fire": False}, r"epsilon.* 0\.1"),
            ({"wrapper_kwargs": {"fire_on_reset": True}}, "forced_fire"),
        ],
    )
    def test_are_named(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            watch_games(ScriptedPlayer([NOOP]), **{"seed": 0, **kwargs})


BLUE, ORANGE = (90, 140, 200), (240, 170, 40)
RNG = np.random.default_rng


def frame(height: int = 210, width: int = 160) -> np.ndarray:
    return RNG(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def columns_of(drawn: np.ndarray, color: tuple[int, int, int]) -> NDArray[np.intp]:
    """Return the columns of the panel that have a pixel of this colour."""
    return np.flatnonzero((drawn[:, 480:] == color).all(axis=2).any(axis=0))


class TestPicture:
    def test_the_screen_is_enlarged_and_left_as_it_is(self) -> None:
        screen = frame()
        drawn = draw_q_values(screen, [0.1, 0.2, 0.3, 0.4], ["NOOP", "FIRE", "RIGHT", "LEFT"])
        assert (drawn.shape, drawn.dtype) == ((630, 480 + 240, 3), np.uint8)
        for i in range(3):
            for j in range(3):
                np.testing.assert_array_equal(drawn[i::3, j:480:3], screen)
        np.testing.assert_array_equal(screen, frame())

    @pytest.mark.parametrize(
        ("value", "limits", "first", "last"),  # the panel without its margins: 12 to 228
        [
            (1.0, (0.0, 2.0), 12, 120),
            (2.0, (0.0, 2.0), 12, 228),
            (9.0, (0.0, 2.0), 12, 228),  # cut off
            (-1.0, (-1.0, 3.0), 12, 66),  # to the left of zero
            (0.001, None, 12, 228),
        ],
    )
    def test_a_bar_is_as_long_as_its_value(
        self, value: float, limits: tuple[float, float] | None, first: int, last: int
    ) -> None:
        columns = columns_of(draw_q_values(frame(), [value], ["A"], limits=limits), BLUE)
        assert [columns.min(), columns.max()] == pytest.approx([first, last], abs=2)

    def test_the_chosen_action_has_another_colour(self) -> None:
        drawn = draw_q_values(frame(), [1.0, 0.0], ["A", "B"], chosen=0)
        assert len(columns_of(drawn, ORANGE)) == pytest.approx(216, abs=2)
        assert len(columns_of(drawn, BLUE)) == 0

    def test_eighteen_actions_fit(self) -> None:
        names = ["DOWNRIGHTFIRE"] * 18  # the longest of all
        picture = draw_q_values(frame(), np.linspace(-100, 100, 18), names, chosen=17)
        panel = picture[:, 480:]
        is_empty = (panel == panel[0, 0]).all(axis=2)
        assert is_empty[:, :8].all(), "nothing is written into the margin"
        assert is_empty[:, -8:].all()
        for row in range(18):
            text = is_empty[35 * row : 35 * row + 17].all(axis=0)
            assert not text[:40].all(), "a name"
            assert text[130:150].all(), "a gap between name and value"
            assert is_empty[35 * row : 35 * row + 2].all(), "a gap above"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"names": ["A"]}, "each of 1 actions, got"),
            ({"q_values": [1.0, np.nan]}, r"each of 2 actions, got \[ 1. nan\]"),
            ({"limits": (1.0, 2.0)}, "low <= 0 <= high"),
            ({"frame": frame()[..., 0]}, "render_mode='rgb_array'"),
            ({"scale": 0}, "scale must be at least 1"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change: dict[str, Any], message: str) -> None:
        arguments = {"frame": frame(), "q_values": [1.0, 2.0], "names": ["A", "B"], **change}
        positional = [arguments.pop(key) for key in ("frame", "q_values", "names")]
        with pytest.raises(ValueError, match=message):
            draw_q_values(*positional, **arguments)


def make_env() -> DummyVecEnv:
    return DummyVecEnv([lambda: FakeGame(shape=(36, 36, 4))])


def picture(seed: int = 0) -> np.ndarray:
    return RNG(seed).integers(0, 256, (36, 36, 4), dtype=np.uint8)


class TestQValues:
    def test_are_what_the_network_returns_in_either_order_of_channels(self) -> None:
        model = DQN("CnnPolicy", make_env(), buffer_size=10, seed=0)
        pictures = np.stack([picture(seed) for seed in range(3)])
        expected = model.q_net(th.as_tensor(pictures).permute(0, 3, 1, 2)).detach().numpy()
        np.testing.assert_allclose(q_values_of(model, pictures), expected, rtol=1e-5)
        one = q_values_of(model, pictures[1].transpose(2, 0, 1))
        np.testing.assert_allclose(one, expected[1], rtol=1e-5)

    def test_of_quantiles_are_their_mean(self) -> None:
        model = QRDQN(
            "CnnPolicy", make_env(), buffer_size=10, seed=0, policy_kwargs={"n_quantiles": 7}
        )
        pixels = th.as_tensor(picture()).permute(2, 0, 1)[None]
        quantiles = model.quantile_net(pixels).detach().numpy()[0]  # (7, 4)
        expected = [sum(quantiles[:, action]) / 7 for action in range(4)]
        np.testing.assert_allclose(q_values_of(model, picture()), expected, rtol=1e-5)

    def test_another_model_has_none(self) -> None:
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8)
        with pytest.raises(TypeError, match="only DQN, FastDQN and QRDQN"):
            q_values_of(model, np.zeros(4, np.float32))
