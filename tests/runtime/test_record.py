"""Records: precedence, types, files that give back what was written, and differences."""

import pytest

from jaxrl import zoo
from jaxrl.runtime.record import read_yaml, record, write_yaml
from tests.sentences import hold_sentence

BASE = {"algorithm": "ppo", "env": "CartPole-v1"}


@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_file_gives_back_what_was_written(name, tmp_path) -> None:
    values = {"algorithm": name, "env": "any", "seeds": 4, "devices": 2, "lr": 0.1 + 0.2}
    values |= {"bc": {"expert": "a"}, "dagger": {"expert": "a"}}.get(name, {})
    values |= {"gail": {"dataset": "b"}, "airl": {"dataset": "b"}}.get(name, {})
    made = record(values)
    (tmp_path / "a.yaml").write_text(write_yaml(made))
    assert record(read_yaml(tmp_path / "a.yaml")) == made


def test_later_values_win_over_tuned_ones_and_those_over_defaults(monkeypatch) -> None:
    tuned = {"CartPole-v1": {"lr": 0.5, "gamma": 0.25, "total_steps": 77}}
    monkeypatch.setitem(zoo.TUNED, "ppo", tuned)
    made = record(BASE | {"lr": "1e-4"})
    assert (made.config.lr, made.config.gamma, made.total_steps) == (1e-4, 0.25, 77)
    assert made.config.lam == zoo.ZOO["ppo"].config.lam


def test_texts_and_lists_become_the_fields_own_types() -> None:
    made = record(BASE | {"total_steps": "1e5", "hidden_sizes": [8, 4], "lr": "1e-3"})
    assert made.total_steps == 100_000 and made.config.hidden_sizes == (8, 4)
    assert record(BASE | {"total_steps": 2e5, "clip_eps_high": "none"}).total_steps == 200_000


def test_differences_are_named_with_both_values() -> None:
    one, other = record(BASE), record(BASE | {"lr": 0.5, "seeds": 2})
    assert sorted(one.differences(other)) == ["lr is 0.5 and was 0.002", "seeds is 2 and was 1"]
    assert list(one.differences(one)) == []


MISTAKES = (
    ({"algorithm": "ppo"}, "env must be a name"),
    ({"algorithm": 3, "env": "x"}, "algorithm must be a name"),
    (BASE | {"total_steps": "many"}, "total_steps must be an integer of at least 1, not 'many'"),
    (BASE | {"seeds": 0}, "seeds must be an integer of at least 1, not 0"),
    (BASE | {"seeds": True}, "seeds must be an integer of at least 1, not True"),
    (BASE | {"seeds": 3, "devices": 2}, "devices must divide seeds, which are 3, not 2"),
    (BASE | {"evaluate_every": -1}, "evaluate_every must be an integer of at least 1, not -1"),
    (BASE | {"env_params": [1]}, "env_params must be names and numbers, not [1]"),
    (BASE | {"learning_rate": 1}, "there is no field 'learning_rate' of ppo"),
    (BASE | {"hidden_sizes": [8, "x"]}, "ppo.hidden_sizes must be a tuple"),
)


@pytest.mark.parametrize(("values", "words"), MISTAKES, ids=str)
def test_a_mistake_is_told_in_one_sentence(values, words) -> None:
    with pytest.raises(ValueError) as caught:
        record(values)
    hold_sentence(str(caught.value), words)
