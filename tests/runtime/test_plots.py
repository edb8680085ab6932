"""Pictures: what stands on them, read from the text and the paths of their SVG form."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxrl.runtime import plots
from jaxrl.runtime.cli import main
from jaxrl.runtime.sweep import Sweep
from tests.runtime.folders import chosen, fast, shell, slow
from tests.sentences import hold_sentence

SVG = "{http://www.w3.org/2000/svg}"


def words(path: Path) -> list[str]:
    """All text of a picture."""
    return [
        "".join(map(str.strip, x.itertext())) for x in ElementTree.parse(path).iter(f"{SVG}text")
    ]


def drawn(path: Path, colour: str) -> int:
    """How many shapes have a colour."""
    return len(re.findall(f"(?:stroke|fill): {colour}", path.read_text(), re.IGNORECASE))


@pytest.fixture
def runs(tmp_path):
    return [slow(tmp_path / "slow"), fast(tmp_path / "fast")]


def test_a_run_has_a_curve_for_each_seed_and_their_mean(runs, tmp_path) -> None:
    path = tmp_path / "curve.svg"
    metrics = runs[0].metrics
    plots.curve(path, metrics, "ppo on CartPole-v1")
    expected = {"ppo on CartPole-v1", "environment steps of each seed", "return"}
    assert expected | {"while training, IQM of 2 seeds"} <= set(words(path))
    blue = drawn(path, plots.COLOURS[0])
    assert blue >= 4 and not drawn(path, plots.COLOURS[1])  # two seeds, their IQM, the legend
    plots.curve(path, metrics | {"eval_return": metrics["episode_return"] + 9}, "")
    assert "evaluation, greedy, IQM of 2 seeds" in words(path)
    assert drawn(path, plots.COLOURS[1]) == blue
    plots.curve(path, {n: x[:1] if x.ndim == 2 else x for n, x in metrics.items()}, "")
    assert "while training" in words(path) and drawn(path, plots.COLOURS[0]) == blue - 2


def test_a_run_without_an_episode_has_an_empty_curve(tmp_path) -> None:
    run = chosen(tmp_path / "run", [[None] * 4] * 2, [1.0, 1.0])
    plots.curve(tmp_path / "curve.png", run.metrics, "nothing")
    plots.curves(tmp_path / "curves.png", [run])
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"


def test_curves_of_several_runs_stand_in_the_panel_of_their_environment(runs, tmp_path) -> None:
    path = tmp_path / "curves.svg"
    plots.curves(
        path,
        [*runs, slow(tmp_path / "other", env="Acrobot-v1", num_minibatches=4)],
        against="seconds",
    )
    shown = words(path)
    assert {"CartPole-v1", "Acrobot-v1", "a2c (3 seeds)"} <= set(shown)
    assert shown.count("seconds of training") == 2 and shown.count("ppo (2 seeds)") == 2
    assert "return: IQM of the seeds, 95 % interval" in shown
    assert drawn(path, plots.COLOURS[0]) > drawn(path, plots.COLOURS[1]) > 1


def test_a_name_has_one_colour_in_all_panels(tmp_path) -> None:
    path = tmp_path / "curves.svg"
    here = [fast(tmp_path / "a", env="Acrobot-v1"), slow(tmp_path / "b"), fast(tmp_path / "c")]
    plots.curves(path, here)
    assert drawn(path, plots.COLOURS[0]) == 2 * drawn(path, plots.COLOURS[1]) > 0
    assert not drawn(path, plots.COLOURS[2])


def test_smoothing_and_the_interval_reach_the_curve(runs, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(plots, "band", lambda x: seen.append(x) or [np.zeros(4)] * 3)
    plots.curves(tmp_path / "x.png", runs[:1], width=2)
    np.testing.assert_array_equal(seen[0], [[np.nan, np.nan, 5, 14], [0, 0, 5, 16]])


def test_bars_have_a_dot_for_each_seed(runs, tmp_path) -> None:
    path = tmp_path / "bars.svg"
    plots.bars(path, runs)
    expected = {"CartPole-v1", "ppo", "a2c", "mean return of the final evaluation"}
    assert expected <= set(words(path))
    dots = [x for x in ElementTree.parse(path).iter(f"{SVG}use") if "#ffffff" in x.get("style", "")]
    assert len(dots) == 5


def table(**fields: np.ndarray) -> Sweep:
    num = len(next(iter(fields.values()), [0]))
    score = np.stack([np.arange(num), np.arange(num) + 2.0], 1).reshape(-1)
    columns = {name: np.repeat(x, 2) for name, x in fields.items()}
    return Sweep("ppo", tuple(fields), 2, np.array([64]), columns | {"final": score})


def test_sensitivity_has_a_panel_for_each_field(tmp_path) -> None:
    path = tmp_path / "sensitivity.svg"
    plots.sensitivity(path, table(lr=np.array([1e-4, 1e-3] * 3), gamma=np.linspace(0.9, 0.95, 6)))
    shown = words(path)
    assert {"lr", "gamma", "mean of the settings", "a setting", "the best one"} <= set(shown)
    assert "ppo: IQM of the seeds, 95 % interval (2 seeds)" in shown
    assert "10−4" in shown  # powers of ten: the axis is logarithmic
    assert drawn(path, plots.COLOURS[5])


@pytest.mark.parametrize("broken", [False, True])
def test_sensitivity_to_nothing_and_of_nothing(broken, tmp_path) -> None:
    made = table()
    if broken:
        made = table(lr=np.array([0.1, 0.2]))
        made.columns["final"][:] = np.nan
    plots.sensitivity(tmp_path / "s.svg", made)
    assert ("lr" if broken else "setting") in words(tmp_path / "s.svg")


def test_plots_on_the_command_line(runs, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell("plot slow fast", tmp_path) == "drawn into curves.png\n"
    with Image.open("curves.png") as picture:
        assert picture.size[0] > 600
    assert main(["plot", "slow", "fast", "--bars", "--out", "b.SVG"]) == 0
    assert "mean return of the final evaluation" in words(Path("b.SVG"))


def test_mistakes_are_told_in_one_sentence(runs, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fast/evaluation.json").unlink()
    Path("fast/metrics.jsonl").unlink()
    for line, said in {
        "slow --out curve.jpg": "out must be a file ending in .png or .svg, not 'curve.jpg'",
        "slow --out no/curve.png": "out must be in a folder that can be written",
        "slow --metric episode_retrun": "the closest are episode_return",
        "slow --smooth 0": "smooth must be an integer of at least 1, not '0'",
        "slow --x episodes": "--x",
        "slow --bar": "there is no option '--bar' of jaxrl plot",
        "slow nowhere": "'nowhere' is no run's folder",
        "slow --bars --x seconds": "leave out --metric, --x and --smooth",
        "slow fast --bars": "'fast' has no final evaluation",
        "slow fast": "'fast' has no metrics yet",
        "": "RUN",
    }.items():
        assert main(["plot", *line.split()]) == 2, line
        hold_sentence(capsys.readouterr().err.rstrip("\n"), said)
    assert not list(tmp_path.glob("*.png"))
