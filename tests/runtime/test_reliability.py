"""Training processes that are killed, resumed, and compared with one that nothing disturbed."""

import pytest

from benchmarks.reliability import PLACES, WORDS, trials
from tests.compiler import flags


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_a_killed_run_ends_as_if_nothing_had_happened(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", flags(1))
    done = trials([name], 4, tmp_path)
    kills = [kill.place for trial in done for kill in trial.kills]
    assert set(kills) == set(PLACES) and any(len(trial.kills) == 2 for trial in done)
    assert not [trial for trial in done if trial.differs]
