"""The index of formulas, read from their docstrings without importing them, and the catalogue.

`python -m jaxrl.index --write` writes it into README.md, the formulas' public names into
jaxrl/formulas/__init__.py, and what the command line tells of algorithms and environments into
jaxrl/runtime/catalogue.json; `--check` fails where one is stale, with one line that says which.
"""

import argparse
import ast
import json
import re
import typing
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

INDEXED = ("formulas", "optim")  # the packages whose functions the index lists
WIDTH = 100  # of a line, as in pyproject.toml
LARGEST_SHOWN = 1e6  # a larger bound of a space stands for none
_SECTION = re.compile(r"^(?=(?:Args|Returns|References?):|>>>)", re.MULTILINE)
_ADDRESSES = {
    re.compile(r"arXiv:(\d{4}\.\d{4,5})"): r"[arXiv:\1](https://arxiv.org/abs/\1)",
    re.compile(r"doi:(10\.[^\s,;)]*\w)"): r"[doi:\1](https://doi.org/\1)",
}


class Formula(NamedTuple):
    """A public function and what its docstring says."""

    name: str
    path: str  # of its file, relative to the root
    line: int
    summary: str
    equation: list[str]  # line by line
    reference: str

    @property
    def link(self) -> str:
        """The name, linked to the definition."""
        return f"[`{self.name}`]({self.path}#L{self.line})"


def modules(root: Path, package: str) -> list[Path]:
    """The files of one of jaxrl's packages."""
    return [p for p in sorted((root / "jaxrl" / package).glob("*.py")) if p.stem != "__init__"]


def public(path: Path) -> list[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes of a file, in its order."""
    nodes = ast.parse(path.read_text("utf-8")).body
    found = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [node for node in found if not node.name.startswith("_")]


def parse(docstring: str) -> tuple[str, list[str], str]:
    """The summary, the lines of the equation and the reference of a formula's docstring."""
    prose, *sections = _SECTION.split(docstring)
    equation = [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    reference = next((text for text in sections if text.startswith("Reference")), "")
    reference = reference.partition(":")[2].partition("\n\n")[0]
    return prose.partition("\n")[0], equation, " ".join(reference.split())


def formulas(root: Path, packages: tuple[str, ...] = INDEXED) -> Iterator[Formula]:
    """Every public function of the packages that has an equation."""
    for path in (path for package in packages for path in modules(root, package)):
        for node in public(path):
            summary, equation, reference = parse(ast.get_docstring(node) or "")
            if isinstance(node, ast.FunctionDef) and equation:
                where = path.relative_to(root).as_posix()
                yield Formula(node.name, where, node.lineno, summary, equation, reference)


def objectives(root: Path) -> dict[str, list[tuple[str, str, str]]]:
    """The table in jaxrl/objectives.py."""
    nodes = ast.parse((root / "jaxrl" / "objectives.py").read_text("utf-8")).body
    tables = [node.value for node in nodes if isinstance(node, ast.AnnAssign) and node.value]
    return ast.literal_eval(tables[0])


def unknown(root: Path) -> list[str]:
    """The names in the table of objectives that are no formula."""
    known = {formula.name for formula in formulas(root)}
    return [
        f"jaxrl/objectives.py: {name} is composed of {part}, which is no formula"
        for rows in objectives(root).values()
        for name, _, parts in rows
        for part in parts.split()
        if part not in known
    ]


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return f"{fence}{space}{_cell(text)}{space}{fence}"


def _linked(reference: str) -> str:
    for pattern, link in _ADDRESSES.items():
        reference = pattern.sub(link, reference)
    return _cell(reference)


def _table(title: str, *rows: tuple[str, ...]) -> list[str]:
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [f"### {title}", "", header, "|" + " --- |" * len(rows[0]), *body, ""]


def index_page(root: Path) -> list[str]:
    """A table for each module: the formula, what it is, its equation and its reference."""
    lines: list[str] = []
    for path, group in groupby(formulas(root), key=lambda formula: formula.path):
        rows = [
            (f.link, _cell(f.summary), "<br>".join(map(_code, f.equation)), _linked(f.reference))
            for f in group
        ]
        title = path.removeprefix("jaxrl/").removesuffix(".py")
        lines += _table(title, ("Formula", "What it is", "Equation", "Reference"), *rows)
    return lines


def objectives_page(root: Path) -> list[str]:
    """A table for each family: the objective, its equation and the formulas that compose it."""
    links = {formula.name: formula.link for formula in formulas(root)}
    lines: list[str] = []
    for family, members in objectives(root).items():
        rows = [
            (_cell(name), _code(equation), " ".join(links.get(n, n) for n in parts.split()))
            for name, equation, parts in members
        ]
        lines += _table(family, ("Objective", "Equation", "Composed of"), *rows)
    return lines


def algorithms(root: Path, table: str = "ZOO") -> list[tuple[str, str, str]]:
    """The rows of a zoo: a name, its configuration's module, and what that is told."""
    zoo = root / "jaxrl" / {"ZOO": "zoo.py", "LANGUAGE": "language_zoo.py"}[table]
    for node in ast.parse(zoo.read_text("utf-8")).body if zoo.exists() else ():
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            assert isinstance(node.value, ast.Dict)
            keys = [ast.literal_eval(key) for key in node.value.keys if key]
            calls = [ast.unparse(value) for value in node.value.values]
            found = [re.search(r"(\w+)\.Config\((.*?)\)", call) for call in calls]
            return [(k, m[1], m[2]) for k, m in zip(keys, found, strict=True) if m]
    return []


def _parsed_algorithm(root: Path, module: str) -> tuple[str, tuple[str, list[str], str]]:
    """The path of an algorithm's file, and what its docstring says."""
    path = f"jaxrl/algorithms/{module}.py"
    text = ast.get_docstring(ast.parse((root / path).read_text("utf-8"))) or ""
    return path, parse(text)


def algorithms_page(root: Path) -> list[str]:
    """A row for each algorithm: what it is, its objective and its reference."""
    rows = []
    for name, module, changes in (*algorithms(root), *algorithms(root, "LANGUAGE")):
        path, (summary, equation, reference) = _parsed_algorithm(root, module)
        summary = _cell(summary) + f" With {_code(changes)}." * bool(changes)
        cells = (summary, "<br>".join(map(_code, equation)), _linked(reference))
        rows.append((f"[`{name}`]({path})", *cells))
    header = ("Algorithm", "What it is", "Objective", "Reference")
    return _table("", header, *rows)[2:] if rows else []


def catalogue(root: Path) -> str:
    """The text of jaxrl/runtime/catalogue.json; this imports the package, and so takes a while."""
    from jaxrl import zoo
    from jaxrl.envs import environments as names
    from jaxrl.envs import make
    from jaxrl.language_zoo import LANGUAGE
    from jaxrl.tasks import TASKS

    listed = {}
    for name, module, changes in (*algorithms(root), *algorithms(root, "LANGUAGE")):
        config = (LANGUAGE if name in LANGUAGE else zoo.ZOO)[name].config
        spaces = {} if name in LANGUAGE else _action_spaces()
        kinds = [kind for kind, space in spaces.items() if _takes(config, space)]
        listed[name] = {
            "summary": _parsed_algorithm(root, module)[1][0] + f" With {changes}." * bool(changes),
            "actions": kinds or ["text"],
            "fields": _fields(config),
            "tuned": zoo.TUNED.get(name, {}),
        }
    spaces = {name: make(name).spaces for name in names()}
    environments = {
        name: {"observation": in_words(space.observation), "action": in_words(space.action)}
        for name, space in spaces.items()
    }
    tasks = {name: _task_in_words(task()) for name, task in TASKS.items()}
    content = {"algorithms": listed, "environments": environments, "tasks": tasks}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _fields(config: Any) -> dict[str, Any]:
    """Of each field of a configuration what it takes, what it is and what it means."""
    from jaxrl.config import VOCABULARY, allowed, hints, optional

    fields = {}
    for name, hint in hints(type(config)).items():
        kind, or_none = optional(hint)
        words = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
        fields[name] = {
            "type": allowed(name, hint),
            "default": getattr(config, name),
            "help": VOCABULARY[name][2],
            "choices": [*words, *["none"] * or_none] if words else [],
        }
    return fields


def _action_spaces() -> dict[str, Any]:
    from jaxrl.types import Box, Discrete, MultiDiscrete

    return {
        "discrete": Discrete(2),
        "multi-discrete": MultiDiscrete((2, 3)),
        "continuous": Box(-1.0, 1.0, (2,)),
    }


def _takes(config: Any, space: Any) -> bool:
    """Whether an algorithm can be made for an action space, whatever it is shown."""
    from jaxrl.train import make_train
    from jaxrl.types import Box, Discrete, Env, Spaces

    for shown in (Box(-1.0, 1.0, (4,)), Discrete(4)):
        env = Env(lambda key: ((), ()), lambda key, state, action: ((), ()), Spaces(shown, space))  # type: ignore[arg-type]
        try:
            make_train(config, env, 10**9)
            return True
        except (TypeError, ValueError):
            continue
    return False


def in_words(space: Any) -> str:
    """A space as a newcomer reads it.

    >>> from jaxrl.types import Box, Discrete, MultiDiscrete
    >>> in_words(Box(-2.0, 2.0, (1,))), in_words(Box(0.0, 1.0, (10, 10, 4))), in_words(Discrete(3))
    ('1 number in [-2, 2]', '10 × 10 × 4 numbers in [0, 1]', '3 choices')
    """
    import numpy as np

    from jaxrl.types import Discrete, MultiDiscrete

    if isinstance(space, Discrete):
        return f"{space.num_values} choices"
    if isinstance(space, MultiDiscrete):
        return f"{len(space.num_values)} choices of {', '.join(map(str, space.num_values))}"
    low, high = (np.unique(np.asarray(bound, np.float64)) for bound in (space.low, space.high))
    count = " × ".join(map(str, space.shape)) or "1"
    numbers = f"{count} number" + "s" * (count != "1")
    if len(low) > 1 or len(high) > 1 or max(-low[0], high[0]) > LARGEST_SHOWN:
        return numbers
    return f"{numbers} in [{low[0]:g}, {high[0]:g}]"


def _task_in_words(task: Any) -> dict[str, str]:
    """What a task asks, and what it takes for an answer, as `in_words`."""
    from jaxrl.tasks import prompt_texts

    prompt, size = prompt_texts(task.tokenizer, task.test)[0], task.vocabulary.size
    answer = f"text of {task.num_tokens} tokens at most, of {size}"
    return {"observation": f"text, as {prompt}", "action": answer}


def _order(name: str) -> tuple[bool, str]:
    return name[0].islower(), name  # classes first, as ruff sorts names


def package_page(root: Path) -> str:
    """The text of jaxrl/formulas/__init__.py, laid out as `ruff format` wants it."""
    lines = ['"""Every formula by its name; written by `python -m jaxrl.index --write`."""', ""]
    everything: list[str] = []
    for path in modules(root, "formulas"):
        names = sorted((node.name for node in public(path)), key=_order)
        everything += names
        start = f"from jaxrl.formulas.{path.stem} import "
        line = start + ", ".join(names)
        long = [f"{start}(", *(f"    {name}," for name in names), ")"]
        lines += [line] if len(line) <= WIDTH else long
    quoted = [f'    "{name}",' for name in sorted(everything, key=_order)]
    return "\n".join([*lines, "", "__all__ = [", *quoted, "]", ""])


def _between(text: str, marker: str, lines: list[str]) -> str:
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"README.md must hold {begin} and {end}, once each")
    before, _, rest = text.partition(begin)
    return "\n".join([before + begin, "", *lines, end + rest.partition(end)[2]])


def pages(root: Path) -> dict[Path, str]:
    """What the generated files should hold."""
    readme = root / "README.md"
    if not readme.exists():
        raise SystemExit(f"there is no {readme}: the index belongs to a checkout of jaxrl")
    text = readme.read_text("utf-8")
    if rows := algorithms_page(root):
        text = _between(text, "algorithms", rows)
    text = _between(text, "objectives", objectives_page(root))
    text = _between(text, "index", index_page(root))
    generated = {
        root / "README.md": text,
        root / "jaxrl" / "formulas" / "__init__.py": package_page(root),
    }
    own = Path(__file__).resolve() == (root / "jaxrl" / "index.py").resolve()
    if own and algorithms(root):  # only the tree that this belongs to can be imported
        generated[root / "jaxrl" / "runtime" / "catalogue.json"] = catalogue(root)
    return generated


def stale(root: Path) -> list[str]:
    """What is wrong with the index, a line each."""
    return unknown(root) + [
        f"{path.relative_to(root)} is stale: run python -m jaxrl.index --write"
        for path, text in pages(root).items()
        if not path.exists() or path.read_text("utf-8") != text
    ]


def write(root: Path) -> None:
    """Write the generated files."""
    for path, text in pages(root).items():
        path.write_text(text, "utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m jaxrl.index", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--check", action="store_true", help="fail where the index is stale")
    group.add_argument("--write", action="store_true", help="bring it up to date")
    root = Path(__file__).resolve().parents[1]
    if parser.parse_args().write:
        write(root)
    if problems := stale(root):
        raise SystemExit("; ".join(problems))


if __name__ == "__main__":
    main()
