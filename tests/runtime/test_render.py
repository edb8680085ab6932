"""Animations: every drawing moves with its environment, and a run's policy is what is played."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.misc.meta_maze import generate_maze_layout
from gymnax.environments.misc.rooms import four_rooms_map
from PIL import Image, ImageColor, ImageSequence

from jaxrl.envs import make
from jaxrl.runtime import render
from jaxrl.runtime.cli import main
from jaxrl.runtime.colours import ORANGE, PAPER
from jaxrl.runtime.render import boards, classic
from jaxrl.runtime.render.canvas import CAPTION, DARK, LIGHT, canvas, palette
from jaxrl.types import Discrete
from tests.runtime.folders import shell, slow, untrained
from tests.sentences import hold_sentence

# Of the boards drawn from channels one is played: the others take long to compile.
MOVING = [n for n in render.DRAWINGS if n not in boards.CHANNELS or n == "Breakout-MinAtar"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("render") / "run")


def moments(name: str) -> list[render.Moment]:
    """Random play."""
    env, seen = make(name), []
    (state, obs), step = env.reset(jax.random.key(0)), jax.jit(env.step)
    space = env.spaces.action
    for index in range(4):
        seen.append(render.Moment(jax.device_get(state), np.asarray(obs), index, 0.0, False))
        key = jax.random.key(index)
        discrete = isinstance(space, Discrete)
        action = jax.random.randint(key, (), 0, space.num_values) if discrete else jnp.ones(1)
        state, timestep = step(key, state, action)
        obs = timestep.obs
    return seen


@pytest.mark.parametrize("name", MOVING)
def test_every_drawing_draws_the_states_of_its_environment(name) -> None:
    seen = moments(name)
    pictures = list(render.frames(name, seen))
    assert len({picture.size for picture in pictures}) == 1
    above = [np.asarray(x)[:-CAPTION] for x in pictures]
    assert any((above[0] != other).any() for other in above[1:])
    again = next(render.frames(name, seen[:1]))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(pictures[0]))


@pytest.mark.parametrize("name", boards.CHANNELS)
def test_every_channel_has_a_colour(name) -> None:
    shape = make(name).spaces.observation.shape
    assert len(boards.CHANNELS[name]) == shape[-1]
    obs = np.zeros(shape)
    for channel, colour in enumerate(boards.CHANNELS[name]):
        obs[:, :, :] = 0
        obs[1, 2, channel] = 1
        made = render.DRAWINGS[name](None, obs)
        place = made.at((2.5, -1.5))
        assert made.image.getpixel(tuple(map(int, place))) == ImageColor.getrgb(colour)
        assert made.image.getpixel(tuple(map(int, made.at((0.5, -0.5))))) == (255, 255, 255)


def test_walls_are_where_the_environments_have_them() -> None:
    rows = four_rooms_map.strip("\n").split("\n")
    walls = np.array([[square == "x" for square in row] for row in rows])
    np.testing.assert_array_equal(boards.four_rooms(), walls)
    np.testing.assert_array_equal(boards.meta_maze(), ~np.asarray(generate_maze_layout(9, 3)))


def test_the_lake_is_the_environments() -> None:
    """Every square from which nothing goes on is a hole or the goal."""
    env = make("FrozenLake-misc")
    state, _ = env.reset(jax.random.key(0))
    for index, square in enumerate("".join(boards.LAKE)):
        for neighbour, action in ((index - 1, 2), (index - 4, 1)):
            stays = index % 4 == 0 and neighbour == index - 1
            if neighbour < 0 or stays or "".join(boards.LAKE)[neighbour] != " ":
                continue
            there = state.replace(position=jnp.asarray(neighbour))
            steps = [env.step(jax.random.key(i), there, jnp.asarray(action)) for i in range(12)]
            reached = [step for after, step in steps if int(after.position) == index]
            assert reached and {bool(x.terminated) for x in reached} == {square != " "}
            assert {float(x.reward) for x in reached} == {float(square == "G")}


def test_a_pole_leans_as_its_angle_and_an_acrobot_hangs() -> None:
    upright = moments("CartPole-v1")[0].state.replace(x=0.0, theta=0.5)
    picture = np.asarray(classic.cart_pole(upright, np.zeros(4)).image)
    orange = np.argwhere((picture == ImageColor.getrgb(ORANGE)).all(-1))
    top, centre = orange[orange[:, 0].argmin()], picture.shape[1] / 2
    assert top[1] > centre  # a positive angle leans to the right
    hanging = moments("Acrobot-v1")[0].state.replace(joint_angle1=0.0, joint_angle2=0.0)
    made = classic.acrobot(hanging, np.zeros(6))
    assert made.image.getpixel(tuple(map(int, made.at((0.0, -1.8))))) == (230, 159, 0)


def test_the_palette_holds_every_colour() -> None:
    names = [*LIGHT, *DARK]
    strip = Image.new("RGB", (len(names), 1))
    for index, name in enumerate(names):
        strip.putpixel((index, 0), ImageColor.getrgb(name))
    kept = strip.quantize(palette=palette(), dither=Image.Dither.NONE).convert("RGB")
    off = np.abs(np.asarray(kept, int) - np.asarray(strip, int))
    assert off.max() <= 4 and (np.asarray(kept)[0, 0] == 255).all() and names[0] == PAPER


def test_a_canvas_points_up_and_text_stands_below() -> None:
    made = canvas(-1, 1, -1, 1, 100)
    made.box((0.5, 0.5), 0.4, 0.4, "#ff0000")
    assert made.image.getpixel(tuple(map(int, made.at((0.6, 0.6))))) == (255, 0, 0)
    framed = made.framed("step 7")
    assert framed.size == (100, 100 + CAPTION)
    assert np.asarray(framed)[100:].min() < 100


def test_an_episode_is_what_the_greedy_policy_does(run) -> None:
    key, learnt = jax.random.key(3), run.learner_state(0)
    seen = list(render.episode(key, run, learnt, 500))
    assert [moment.step for moment in seen] == list(range(len(seen)))
    assert [moment.last for moment in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].episode_return == len(seen) - 1  # CartPole gives 1 for each step
    k_reset = jax.random.split(key, 3)[0]
    np.testing.assert_allclose(seen[0].obs, run.env.reset(k_reset)[1])
    for before, after in pairwise(seen):
        pushed = after.state.x_dot - before.state.x_dot
        action = run.act(before.obs, seed=0)
        assert (pushed > 0) == bool(action)


def test_a_drawn_policy_is_sampled_only_where_that_is_asked_for(run) -> None:
    learnt, key = run.learner_state(), jax.random.key(0)
    greedy, drawn = (
        [float(x.state.x) for x in render.episode(key, run, learnt, 40, greedy)]
        for greedy in (True, False)
    )
    assert greedy[0] == drawn[0] and greedy != drawn


def test_a_policy_with_memory_plays(tmp_path) -> None:
    made = untrained(tmp_path / "run", memory="gru", memory_size=4)
    seen = list(render.episode(jax.random.key(0), made, made.learner_state(), 5))
    assert len(seen) == 6 and seen[-1].last


def test_an_animation_on_the_command_line(run, tmp_path) -> None:
    path = tmp_path / "x.gif"
    words = f"render {run.folder} --out {path} --episodes 2 --max-steps 5 --fps 20 --seed 1"
    assert shell(words, tmp_path) == f"5 steps, return 5\n5 steps, return 5\ndrawn into {path}\n"
    with Image.open(path) as film:
        assert film.format == "GIF" and film.info["loop"] == 0
        times = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert times == [50] * 5 + [850] + [50] * 5 + [850]


def test_a_film_lies_in_the_runs_folder_and_depends_on_how_it_is_played(run) -> None:
    films = []
    for words in ("", "", "--luck 1", "--stochastic"):
        assert main(["render", str(run.folder), "--max-steps", "6", *words.split()]) == 0
        films.append((run.folder / "episode.gif").read_bytes())
    assert films[0] == films[1] and len({*films}) == 3


def test_mistakes_are_told_in_one_sentence(run, tmp_path, capsys) -> None:
    other = slow(tmp_path / "other", env="SimpleBandit-bsuite").folder
    for words, said in {
        f"{other}": "render must be of Acrobot-v1, Asterix-MinAtar",
        f"{run.folder} --seed 7": "seed must be one of (0, 1), not 7",
        f"{run.folder} --fps 51": "fps must be at most 50, not 51",
        f"{run.folder} --fps 0": "fps must be an integer of at least 1, not '0'",
        f"{run.folder} --max-steps none": "max_steps must be an integer of at least 1",
        f"{run.folder} --out a.mp4": "out must be a file ending in .gif, not 'a.mp4'",
        "nowhere": "'nowhere' is no run's folder",
    }.items():
        assert main(["render", *words.split()]) == 2
        hold_sentence(capsys.readouterr().err.rstrip("\n"), said)
