"""What `import jaxrl` offers: every formula and every module by name, loaded when asked for."""

import importlib

import pytest

import jaxrl
from jaxrl import formulas


def test_every_formula_is_there_by_name() -> None:
    assert len(formulas.__all__) > 100
    for name in formulas.__all__:
        assert getattr(jaxrl, name) is getattr(formulas, name)


def test_a_formula_wins_over_the_module_of_its_name() -> None:
    module = importlib.import_module("jaxrl.formulas.recurrence")
    assert jaxrl.recurrence is formulas.recurrence is module.recurrence


def test_dir_lists_formulas_and_modules_and_a_star_brings_the_formulas() -> None:
    """Not the modules: one is named `types`."""
    names: dict[str, object] = {}
    exec("from jaxrl import *", names)
    assert set(names) - {"__builtins__"} == set(formulas.__all__)
    assert {"gae", "formulas", "checks", *formulas.__all__} <= set(dir(jaxrl))


@pytest.mark.parametrize(
    ("name", "meant"), [("gea", "gae"), ("clipped_surogate", "clipped_surrogate")]
)
def test_a_misspelt_name_is_told_the_closest(name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; did you mean '{meant}'"):
        getattr(jaxrl, name)


def test_a_name_like_no_other_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqqq'$"):
        getattr(jaxrl, "qq" * 3)
