"""Progress: what a terminal, a pipe and a quiet run get to see."""

import io
import time

import numpy as np
import pytest
from rich.console import Console

from jaxrl.runtime import progress

SEEDS = np.array([20.0, 40.0, 90.0])
NOTHING = np.full(3, np.nan)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


def shown(later, mode="auto", terminal=False, start_steps=0, returns=SEEDS, width=100) -> str:
    """All that is printed of a run of 1000 steps, 25 a second after 30 seconds of compilation."""
    console = Console(file=io.StringIO(), record=True, force_terminal=terminal, width=width)
    num = len(returns)
    with progress.progress(1000, num, mode, start_steps, console) as report:
        later(30)
        report(start_steps + 50, NOTHING[:num])
        for steps in range(start_steps + 75, 1001, 25):
            later(1)
            report(steps, returns)
    return console.export_text()


def test_a_pipe_gets_ten_lines(clock) -> None:
    lines = shown(clock, width=20).splitlines()
    assert len(lines) == 10 and [line.split()[0] for line in lines[::3]] == [
        "100",
        "400",
        "700",
        "1,000",
    ]
    assert (
        lines[3]
        == "400 of 1,000 steps  0:44  75 steps/s  0:24 left  return 50.0, seeds 20.0 to 90.0"
    )
    assert shown(clock, mode="plain", terminal=True).count("\n") == 10


def test_a_resumed_run_tells_the_rest(clock) -> None:
    lines = shown(clock, start_steps=700).splitlines()
    assert [line.split()[0] for line in lines] == ["800", "900", "1,000"]
    assert "75 steps/s" in lines[0] and "0:08 left" in lines[0]


def test_a_terminal_gets_one_live_bar(clock) -> None:
    text = shown(clock, terminal=True)
    assert text.count("\n") == 1  # every frame is drawn over the one before
    frames = [frame for frame in text.split("━") if "steps/s" in frame or "compiling" in frame]
    assert "compiling" in frames[0]
    percent, _, words = frames[-1].split(maxsplit=2)
    assert percent == "100%"
    assert words.strip() == "75 steps/s  0:00 left  return 50.0, seeds 20.0 to 90.0"


def test_a_narrow_terminal_shortens_the_bar(clock) -> None:
    text = shown(clock, terminal=True, width=80, returns=10 * SEEDS - 1000)
    assert "75 steps/s  0:00 left  return -500, seeds -800 to -100" in text
    assert "100% 0:00:00 75 steps/s" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_is_quiet(clock, terminal) -> None:
    assert shown(clock, mode="quiet", terminal=terminal) == ""


def test_one_seed_has_no_spread_and_early_windows_no_return(clock) -> None:
    assert shown(clock, returns=SEEDS[:1]).endswith("  return 20.0\n")
    assert shown(clock, returns=NOTHING).endswith("  no episode yet\n")
    partly = np.array([np.nan, 1.0, 3.0])
    assert shown(clock, returns=partly).endswith("  return 2.0, seeds 1.0 to 3.0\n")
