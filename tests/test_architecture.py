"""Each rule of the house holds here, catches what is planted, and lets a clean tree pass."""

import subprocess
import sys
from pathlib import Path

import pytest

from jaxrl import index
from tests import architecture as rules
from tests import architecture_text as texts
from tests.architecture import Check

ROOT = Path(__file__).resolve().parents[1]
CHECKS: tuple[Check, ...] = (
    rules.import_levels,
    rules.forbidden_constructs,
    rules.formula_names,
    rules.one_definition,
    rules.versions,
    rules.index_current,
    texts.sizes,
    texts.docstrings,
    texts.oracles,
    texts.used,
    texts.laziness,
    texts.doctests,
)

HALF = '''"""Formulas that the plants start from."""


def half(x: float) -> float:
    """Half of a number.

        x / 2

    Reference: Euclid, Elements, book 7.
    >>> half(3.0)
    1.5
    """
    return x / 2
'''
README = f"""# A tree
{texts.NO_ZOO}.
```python
>>> 1 + 1
2
```
<!-- objectives:begin -->
<!-- objectives:end -->
<!-- index:begin -->
<!-- index:end -->
"""
CLEAN = {
    "README.md": README,
    "pyproject.toml": '[project]\nversion = "1.2.3"\n',
    "jaxrl/__init__.py": '"""A package."""\n\n__version__ = "1.2.3"\n',
    "jaxrl/types.py": '"""Types."""\n\nimport jax\n\nArray = jax.Array\n',
    "jaxrl/formulas/halves.py": HALF,
    "jaxrl/objectives.py": '"""Data."""\n\nTABLE: dict = {"All": [("Halving", "x/2", "half")]}\n',
    "jaxrl/runtime/log.py": '"""Impure."""\n\nimport time\n\nprint(time.time())\n',
    "tests/oracles/halves.py": "def half(x):\n    return x / 2\n",
}


def title(value: object) -> str | None:
    return getattr(value, "__name__", None)


def plant(root: Path, changes: dict[str, str]) -> Path:
    """Write the clean tree with its index, then the changes."""
    for files in (CLEAN, changes):
        for name, source in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(source, "utf-8")
        if files is CLEAN:
            index.write(root)
    return root


def formula(source: str) -> dict[str, str]:
    """One more file of formulas, whose functions all have the docstring of `half`."""
    text = HALF[HALF.index('    """Half') : HALF.index("    return")]
    return {"jaxrl/formulas/more.py": '"""More."""\n' + source.replace("    ...\n", text)}


def below(source: str, path: str = "jaxrl/families/value.py") -> dict[str, str]:
    return {path: f'"""A part."""\n{source}\n'}


def nest(depth: int) -> str:
    return "".join(f"{'    ' * i}def f{i}():\n" for i in range(depth)) + "    " * depth + "pass\n"


SECOND_HALF = formula("def other(y: float) -> float:\n    ...\n    return y / 2\n")
ZOO = README.replace(texts.NO_ZOO, "It is here")
PLANTS = (
    (rules.import_levels, below("from jaxrl import zoo"), "imports jaxrl.zoo, which is not below"),
    (rules.import_levels, below("import jaxrl.loops.on_policy"), "imports jaxrl.loops.on_policy"),
    (rules.import_levels, below("from . import actor"), "say from where in full"),
    (rules.import_levels, below("import jaxrl"), "say from where in full"),
    (rules.import_levels, below("from jaxrl import half"), "imports jaxrl.half"),
    (rules.import_levels, below("import gymnax"), "jaxrl/envs/gymnax.py alone may know"),
    (rules.import_levels, below("import os"), "imports os below runtime/"),
    (rules.import_levels, below("from time import sleep"), "imports time below"),
    (rules.import_levels, below("import jax", "jaxrl/odd.py"), "odd has no level"),
    (rules.import_levels, formula("import numpy as np\n"), "formulas know jax only"),
    (rules.import_levels, formula("from jaxrl.optim import sgd\n"), "not below formulas"),
    (rules.forbidden_constructs, below("print(1)"), "uses print"),
    (rules.forbidden_constructs, below("import jax\njax.debug.callback(f)"), "uses callback"),
    (rules.forbidden_constructs, below("from jax import pmap"), "uses pmap"),
    (rules.forbidden_constructs, below("n = jax.device_count()"), "uses device_count"),
    (rules.forbidden_constructs, below("hasattr(1, 'x')", "jaxrl/runtime/a.py"), "uses hasattr"),
    (rules.forbidden_constructs, below("y = jnp.clip(x, a_min=0)"), "passes a_min to clip"),
    (rules.forbidden_constructs, below("def f(x=[]): ..."), "the mutable default []"),
    (rules.forbidden_constructs, below("f = lambda *, x=dict(): x"), "the mutable default dict()"),
    (rules.forbidden_constructs, below("def f(rng): ..."), "call it key"),
    (rules.forbidden_constructs, below("def f(obs, key): ..."), "key that is not the first"),
    (rules.formula_names, formula("def get_half(x: float): ...\n"), "get_half is not a noun"),
    (rules.formula_names, formula("def half_fn(x: float): ...\n"), "half_fn is not a noun"),
    (rules.formula_names, formula("def third(x): ...\n"), "third does not annotate x"),
    (rules.formula_names, formula("def third(m: str): ...\n"), "takes a mode string m"),
    (rules.one_definition, formula("def half(x: float):\n    ...\n"), "half is half of jaxrl/"),
    (rules.one_definition, SECOND_HALF, "other is half of jaxrl/formulas/halves.py again"),
    (rules.one_definition, below("def half(x):\n    return 0.5 * x"), "half is half of jaxrl/"),
    (rules.one_definition, below("def other(x):\n    return x / 2"), "other is half of jaxrl/"),
    (rules.versions, {"pyproject.toml": '[project]\nversion = "2.0"\n'}, "is not 2.0"),
    (rules.index_current, SECOND_HALF, "README.md is stale"),
    (rules.index_current, SECOND_HALF, "jaxrl/formulas/__init__.py is stale"),
    (
        rules.index_current,
        {"jaxrl/objectives.py": 'T: dict = {"All": [("Doubling", "2 x", "twice")]}\n'},
        "Doubling is composed of twice, which is no formula",
    ),
    (texts.sizes, below("\n" * 400), "has 402 lines, over 400"),
    (texts.sizes, below("def f():\n" + "    x = 1\n" * 40), "f has 41 lines of code, over 40"),
    (texts.sizes, below("def f(a, b, c, d, e, *, g, h, i, j): ..."), "f has 9 parameters"),
    (texts.sizes, below(nest(4)), "f3 is nested deeper than 3"),
    (texts.docstrings, below("def f(): ..."), "f has no docstring"),
    (texts.docstrings, below("class C: ..."), "C has no docstring"),
    (texts.docstrings, {"jaxrl/a.py": "x = 1\n"}, "the module has no docstring"),
    (texts.docstrings, formula("def f(): ...\n"), "f has no docstring"),
    (
        texts.docstrings,
        {"jaxrl/formulas/h.py": HALF.replace("  x / 2\n", "")},
        "states no equation",
    ),
    (texts.docstrings, {"jaxrl/formulas/h.py": HALF.replace("Ref", "P")}, "names no reference"),
    (texts.docstrings, {"jaxrl/formulas/h.py": HALF.replace("er.", "er,")}, "not one sentence"),
    (
        texts.docstrings,
        {"jaxrl/formulas/h.py": HALF.replace("    >", "\n" * 20 + "    >")},
        "over 25",
    ),
    (texts.oracles, SECOND_HALF, "other has no oracle"),
    (texts.used, {"README.md": ZOO}, "README.md does not say: There is no zoo"),
    (texts.used, below("", "jaxrl/zoo.py"), "README.md still says: There is no zoo"),
    (texts.used, below("", "jaxrl/zoo.py") | {"README.md": ZOO}, "half is used by no algorithm"),
    (texts.laziness, {"jaxrl/__init__.py": "import numpy\n"}, "import jaxrl imports numpy"),
    (texts.laziness, {"jaxrl/__init__.py": "import time\ntime.sleep(0.11)\n"}, "over 0.1"),
    (
        texts.doctests,
        {"jaxrl/formulas/halves.py": HALF.replace("1.5", "1.4")},
        "Expected:\n    1.4",
    ),
    (texts.doctests, {"README.md": README.replace("\n2\n", "\n3\n")}, "Expected:\n    3"),
)


@pytest.mark.parametrize("check", CHECKS, ids=title)
def test_the_repository_obeys(check: Check) -> None:
    problems = check(ROOT)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("check", CHECKS, ids=title)
def test_a_clean_tree_passes(check: Check, tmp_path: Path) -> None:
    assert check(plant(tmp_path, {})) == []


@pytest.mark.parametrize(("check", "changes", "words"), PLANTS, ids=title)
def test_a_planted_violation_is_caught(
    check: Check, changes: dict[str, str], words: str, tmp_path: Path
) -> None:
    assert any(words in problem for problem in check(plant(tmp_path, changes)))


def test_every_check_has_a_plant() -> None:
    assert {check for check, _, _ in PLANTS} == set(CHECKS)


ALGORITHM = "from jaxrl.formulas import halves\n\n\ndef f(x):\n    return halves.half(x)"
INNOCENT = (
    (rules.import_levels, below("import jaxrl.formulas.halves\nfrom jaxrl.networks import mlp")),
    (rules.one_definition, formula("def alias(y: float):\n    ...\n    return -half(y)\n")),
    (
        rules.one_definition,
        formula("def a(x: float):\n    return x\ndef b(y: float):\n    return y\n"),
    ),
    (rules.forbidden_constructs, below("def f(key):\n    def body(carry, key): ...")),
    (texts.sizes, below(nest(3))),
    (texts.sizes, below('def f():\n    """A.\n' + "\n    b\n" * 40 + '    """\n    # c\n    ...')),
    (
        texts.used,
        below("from jaxrl.algorithms import h", "jaxrl/zoo.py")
        | below("from jaxrl.families.value import f", "jaxrl/algorithms/h.py")
        | below(ALGORITHM)
        | {"README.md": ZOO},
    ),
)


@pytest.mark.parametrize(("check", "changes"), INNOCENT, ids=title)
def test_what_is_allowed_passes(check: Check, changes: dict[str, str], tmp_path: Path) -> None:
    assert check(plant(tmp_path, changes)) == []


def test_index_check_fails_with_one_line(tmp_path: Path) -> None:
    root = plant(tmp_path, SECOND_HALF)
    (root / "jaxrl" / "index.py").write_bytes((ROOT / "jaxrl" / "index.py").read_bytes())
    command = [sys.executable, "-m", "jaxrl.index"]
    check = subprocess.run([*command, "--check"], cwd=root, capture_output=True, text=True)
    assert check.returncode == 1
    assert check.stderr.count("\n") == 1 and "README.md is stale" in check.stderr
    assert subprocess.run([*command, "--write"], cwd=root).returncode == 0
    assert subprocess.run([*command, "--check"], cwd=root).returncode == 0
