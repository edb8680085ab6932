"""More rules of the house: sizes, docstrings, oracles, what is used, and what importing costs."""

import ast
import doctest
import io
import re
import runpy
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from jaxrl import index
from tests.architecture import Function, Module, formulas, functions, imported, parsed

FUNCTION_LINES, FILE_LINES, PARAMETERS, DEPTH, DOCSTRING_LINES = 40, 400, 8, 3, 25
IMPORT_SECONDS = 0.1

NO_ZOO = "There is no zoo of algorithms yet"
UNREACHED = {  # why no algorithm of the zoo needs a formula, and which
    "offline algorithms are not in the zoo yet": "expectile_loss retrace_weight",
    "tables are corrected step by step, by traces and not by returns": "retrace watkins_target",
    "imitation and curiosity are not in the zoo yet": """
        airl_reward cloning_loss discriminator_loss gail_reward icm_forward_loss icm_inverse_loss
        icm_reward rnd_error saturating_reward squared_cloning_loss squared_distance""",
    "language models ask for neither yet: they are a user's to combine": """
        decoupled_surrogate length_adaptive_lambda linear_length_penalty relative_length_reward""",
    "its value is read from hidden states, never from all logits": "sft_loss",
    "needs the score of each sample, which no batched learner has": "optimal_baseline",
    "a user's own critic of actions may stand behind it": "action_dependent_loss",
}

_PROBE = """
import sys, time
sys.path.insert(0, {root!r})
start = time.perf_counter()
import jaxrl
print(time.perf_counter() - start, *sorted({{"jax", "numpy"}} & set(sys.modules)))
"""
_NOT_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


def sizes(root: Path) -> list[str]:
    """Short files, short functions, few parameters, little nesting."""
    problems = []
    for module in parsed(root, "jaxrl", "tests", "benchmarks"):
        if (lines := module.source.count("\n")) > FILE_LINES:
            problems.append(f"{module.path} has {lines} lines, over {FILE_LINES}")
        if Path(module.path).name.startswith("cases_"):
            continue  # tables of data, which only look like code
        code = _code_lines(module)
        for node in functions(module.tree):
            problems += [f"{module.at(node)} {node.name} {p}" for p in _size_problems(node, code)]
        problems += [
            f"{module.at(node)} {node.name} is nested deeper than {DEPTH}"
            for node in _nested(module.tree, DEPTH + 1)
        ]
    return problems


def _size_problems(node: Function, code: set[int]) -> Iterator[str]:
    lines = len(code & set(range(node.lineno, (node.end_lineno or 0) + 1)))
    if lines > FUNCTION_LINES:
        yield f"has {lines} lines of code, over {FUNCTION_LINES}"
    names = [argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
    count = len([name for name in names if name not in ("self", "cls")])
    if count > PARAMETERS:
        yield f"has {count} parameters, over {PARAMETERS}"


def _code_lines(module: Module) -> set[int]:
    """The lines that hold code: neither blank, nor comment, nor docstring."""
    tokens = tokenize.generate_tokens(io.StringIO(module.source).readline)
    spans = [(t.start[0], t.end[0]) for t in tokens if t.type not in _NOT_CODE]
    lines = {line for start, end in spans for line in range(start, end + 1)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return lines


def _nested(node: ast.AST, depth: int) -> Iterator[Function]:
    """The functions that stand `depth` functions deep."""
    for child in ast.iter_child_nodes(node):
        inner = depth - isinstance(child, Function)
        if isinstance(child, Function) and inner == 0:
            yield child
        yield from _nested(child, inner)


def docstrings(root: Path) -> list[str]:
    """Each formula states its equation and its reference; all else public says what it is."""
    problems = []
    for module, node in formulas(root):
        problems += [f"{module.at(node)} {node.name} {p}" for p in _formula_text_problems(node)]
    for module in parsed(root, "jaxrl"):
        problems += [
            f"{module.at(node)} {getattr(node, 'name', 'the module')} has no docstring"
            for node in (module.tree, *index.public(root / module.path))
            if ast.get_docstring(node) is None
        ]
    return problems


def _formula_text_problems(node: ast.FunctionDef) -> Iterator[str]:
    text = ast.get_docstring(node)
    if text is None:
        return  # said of every public name
    summary, equation, reference = index.parse(text)
    if not summary.endswith("."):
        yield "has a summary that is not one sentence on one line"
    if not equation:
        yield "states no equation"
    if not reference:
        yield "names no reference"
    literal = node.body[0]
    if (lines := (literal.end_lineno or 0) - literal.lineno + 1) > DOCSTRING_LINES:
        yield f"has a docstring of {lines} lines, over {DOCSTRING_LINES}"


def oracles(root: Path) -> list[str]:
    """Each formula has an oracle of its name, in the file of its module's name."""
    problems = []
    for module, node in formulas(root):
        path = root / "tests" / "oracles" / Path(module.path).name
        if not path.exists() or node.name not in {oracle.name for oracle in index.public(path)}:
            problems.append(f"{module.at(node)} {node.name} has no oracle")
    return problems


def used(root: Path) -> list[str]:
    """Each formula serves an algorithm of the zoo, or stands in UNREACHED with its reason."""
    zoo = root / "jaxrl" / "zoo.py"
    readme = (root / "README.md").read_text("utf-8")
    if not zoo.exists():
        return [] if NO_ZOO in readme else [f"README.md does not say: {NO_ZOO}"]
    problems = [f"README.md still says: {NO_ZOO}"] if NO_ZOO in readme else []
    reached = _reached(root)
    names = {node.name for _, node in formulas(root)}
    excused = set(" ".join(UNREACHED.values()).split())
    problems += [
        f"{n} is used by no algorithm of the zoo" for n in sorted(names - reached - excused)
    ]
    return problems + [f"UNREACHED names {n}, which is used" for n in sorted(excused & reached)]


def _reached(root: Path) -> set[str]:
    """The formulas named in the files that the zoos import, and those that they call in turn."""
    modules = {
        m.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): m
        for m in parsed(root, "jaxrl")
    }
    bodies: dict[str, ast.AST] = {node.name: node for _, node in formulas(root)}
    todo = sorted({"jaxrl.zoo", "jaxrl.language_zoo"} & set(modules))
    files, names = set(todo), set()
    while todo:
        tree = modules[todo.pop()].tree
        names |= _names(tree)
        found = {part for _, name in imported(tree) for part in (name, name.rpartition(".")[0])}
        new = {name for name in found & set(modules) if ".formulas" not in name} - files
        files |= new
        todo += new
    reached: set[str] = set()
    while new := (names & set(bodies)) - reached:
        reached |= new
        names = set().union(*(_names(bodies[name]) for name in new))
    return reached


def _names(tree: ast.AST) -> set[str]:
    return {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)} | {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name)
    }


def laziness(root: Path) -> list[str]:
    """`import jaxrl` is quick and imports neither jax nor numpy."""
    command = [sys.executable, "-c", _PROBE.format(root=str(root))]
    seconds, loaded = [], set()
    for _ in range(5):
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        first, *rest = run.stdout.split()
        seconds.append(float(first))
        loaded |= set(rest)
    problems = [f"import jaxrl imports {name}" for name in sorted(loaded)]
    if min(seconds) > IMPORT_SECONDS:
        problems.append(f"import jaxrl takes {min(seconds):.2f} s, over {IMPORT_SECONDS}")
    return problems


def doctests(root: Path) -> list[str]:
    """The examples in docstrings and in the README give what they say."""
    problems = []
    for module in parsed(root, "jaxrl"):
        texts = [
            (module.at(node), text)
            for node in ast.walk(module.tree)
            if isinstance(node, Function | ast.ClassDef | ast.Module)
            and ">>>" in (text := ast.get_docstring(node) or "")
        ]
        names = runpy.run_path(str(root / module.path)) if texts else {}
        for where, text in texts:
            problems += _run_examples(where, text, names)
    readme = (root / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    return problems + _run_examples("README.md", "\n".join(blocks), {})


def _run_examples(where: str, text: str, names: dict[str, object]) -> list[str]:
    test = doctest.DocTestParser().get_doctest(text, dict(names), where, where, 0)
    output = io.StringIO()
    doctest.DocTestRunner(verbose=False).run(test, out=output.write)
    return [f"{where} {output.getvalue()}"] if output.getvalue() else []
