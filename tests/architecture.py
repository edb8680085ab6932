"""The rules of the house: each a function from a source tree to the list of its violations."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxrl import index

Check = Callable[[Path], list[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Each line may import what stands in the lines above it, and what stands in its own braces.
LEVELS = (
    (
        {
            "__version__",
            "types",
            "text",
            "config",
            "checks",
            "names",
            "numerics",
            "shares",
            "softmax",
            "tracing",
        },
    ),
    ({"formulas"},),
    ({"networks"}, {"envs"}, {"tasks"}, {"data"}, {"optim"}),
    ({"families"}, {"loops"}),
    ({"algorithms"},),
    ({"tuned", "zoo", "train", "language_zoo", "train_language", "train_imitation"},),
    ({"runtime"}, {"index", "objectives"}),
    ({"__main__"},),
)
HOMES = {  # packages that one file alone may know
    "gymnax": "jaxrl/envs/gymnax.py",
    "distrax": "jaxrl/networks/distributions.py",
}
FORMULAS_MAY_IMPORT = {"jax", "jaxrl", "collections", "functools", "math", "typing"}

NEVER = {"hasattr", "pmap", "PRNGKey"}
KEY_LATER = {"evaluate"}  # what is evaluated comes before the luck that it had
IMPURE_NAMES = {
    *("breakpoint", "callback", "io_callback", "pure_callback", "host_callback"),
    *("device_count", "local_device_count", "input", "print"),
}
IMPURE_MODULES = {
    *("datetime", "logging", "multiprocessing", "os", "random", "shutil", "socket"),
    *("subprocess", "tempfile", "threading", "time"),
}


class Module(NamedTuple):
    """A parsed file."""

    path: str  # relative to the root
    source: str
    tree: ast.Module

    @property
    def unit(self) -> str:
        """The part of jaxrl that the file belongs to, as LEVELS names it."""
        return self.path.removeprefix("jaxrl/").split("/")[0].removesuffix(".py")

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def parsed(root: Path, *folders: str) -> Iterator[Module]:
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        source = path.read_text("utf-8")
        yield Module(path.relative_to(root).as_posix(), source, ast.parse(source))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def formulas(root: Path) -> Iterator[tuple[Module, ast.FunctionDef]]:
    """Every formula: the public functions of jaxrl.formulas."""
    for module in parsed(root, "jaxrl/formulas"):
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield module, node


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every import as a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from ((node, f"{start}.{alias.name}") for alias in node.names)


def level(unit: str) -> tuple[int, int]:
    """The level of a unit and its place in it; -1 where LEVELS does not know it."""
    for height, groups in enumerate(LEVELS):
        for place, group in enumerate(groups):
            if unit in group:
                return height, place
    return -1, 0


def import_levels(root: Path) -> list[str]:
    """Imports run strictly downward; a few packages are known to one file or one level alone."""
    return [
        f"{module.at(node)} {problem}"
        for module in parsed(root, "jaxrl")
        if module.path != "jaxrl/__init__.py"  # it re-exports, lazily
        for node, name in imported(module.tree)
        if (problem := _import_problem(module, name))
    ]


def _import_problem(module: Module, name: str) -> str:
    top, *rest = name.split(".")
    here = level(module.unit)
    if not top or name == "jaxrl":
        return f"imports {name}: say from where in full"
    if here[0] < 0:
        return f"{module.unit} has no level in tests/architecture.py"
    if HOMES.get(top, module.path) != module.path:
        return f"imports {top}, which {HOMES[top]} alone may know"
    if module.unit == "formulas" and top not in FORMULAS_MAY_IMPORT:
        return f"imports {top}: formulas know jax only"
    if top in IMPURE_MODULES and module.unit != "runtime":
        return f"imports {top} below runtime/"
    there = level(rest[0]) if top == "jaxrl" and rest else (0, 0)
    if top == "jaxrl" and (there[0] < 0 or not (there == here or there[0] < here[0])):
        return f"imports {name}, which is not below {module.unit}"
    return ""


def forbidden_constructs(root: Path) -> list[str]:
    """Nothing impure below runtime/, nothing deprecated, nothing that design.md forbids."""
    return [
        f"{module.at(node)} {problem}"
        for module in parsed(root, "jaxrl")
        for node in ast.walk(module.tree)
        for problem in _problems(module, node)
    ]


def _problems(module: Module, node: ast.AST) -> Iterator[str]:
    banned = NEVER if module.unit == "runtime" else NEVER | IMPURE_NAMES
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            names = [name]
        case ast.ImportFrom(names=aliases):
            names = [alias.name for alias in aliases]
        case _:
            names = []
    yield from (f"uses {name}" for name in names if name in banned)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("clip"):
        gone = {"a_min", "a_max"} & {keyword.arg for keyword in node.keywords}
        yield from (f"passes {name} to clip, which jax no longer takes" for name in sorted(gone))
    if isinstance(node, Function | ast.Lambda):
        yield from _signature_problems(node)


def _signature_problems(node: Function | ast.Lambda) -> Iterator[str]:
    positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    names = [name for name in positional if name not in ("self", "cls")]
    keywords = [a.arg for a in node.args.kwonlyargs]
    for default in (*node.args.defaults, *node.args.kw_defaults):
        if isinstance(default, ast.List | ast.Dict | ast.Set) or (
            isinstance(default, ast.Call) and ast.unparse(default.func) in ("list", "dict", "set")
        ):
            yield f"has the mutable default {ast.unparse(default)}"
    if "rng" in (*names, *keywords):
        yield "has a parameter rng: call it key"
    name = node.name if isinstance(node, Function) and node.col_offset == 0 else "_"
    late = "key" in (*names[1:], *keywords)  # the body of a scan takes it second
    if late and name[0] != "_" and name not in KEY_LATER:
        yield "has a parameter key that is not the first"


def formula_names(root: Path) -> list[str]:
    """A formula is the paper's noun, and takes no mode string."""
    return [
        f"{module.at(node)} {node.name} {problem}"
        for module, node in formulas(root)
        for problem in _name_problems(node)
    ]


def _name_problems(node: ast.FunctionDef) -> Iterator[str]:
    if node.name.startswith(("compute_", "get_")) or node.name.endswith("_fn"):
        yield "is not a noun"
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    for argument in arguments:
        if argument.annotation is None:
            yield f"does not annotate {argument.arg}"
        elif {"str", "Literal"} & set(re.findall(r"\w+", ast.unparse(argument.annotation))):
            yield f"takes a mode string {argument.arg}: pass the function"


COINCIDENCES = {  # of arithmetic, not of meaning
    ("sac_actor_loss", "potential_shaping"),  # α log π − Q and γ Φ′ − Φ
}


def one_definition(root: Path) -> list[str]:
    """Each formula has one name, and nothing else in jaxrl has its name or its body."""
    seen: dict[str, str] = {}
    names = {node.name for _, node in formulas(root)}
    problems = []
    for module, node in (*formulas(root), *_other_functions(root)):
        for key in (node.name, body_of(node, names)):
            if key in seen and (node.name, seen[key].split()[0]) not in COINCIDENCES:
                problems.append(f"{module.at(node)} {node.name} is {seen[key]} again")
            elif key and module.unit == "formulas":
                seen[key] = f"{node.name} of {module.path}"
    return problems


def _other_functions(root: Path) -> Iterator[tuple[Module, ast.FunctionDef]]:
    for module in parsed(root, "jaxrl"):
        for node in module.tree.body if module.unit != "formulas" else ():
            if isinstance(node, ast.FunctionDef):
                yield module, node


def body_of(node: ast.FunctionDef, names: set[str]) -> str:
    """The body with its variables numbered, without docstring and checks of arguments.

    Empty for a second name: one line that returns an argument, or calls nothing but formulas.
    """
    body = [statement for statement in node.body if not _is_overhead(statement)]
    calls = [n.func for statement in body for n in ast.walk(statement) if isinstance(n, ast.Call)]
    if len(body) == 1 and calls and all(ast.unparse(call) in names for call in calls):
        return ""
    if len(body) == 1 and re.fullmatch(r"return \w+", ast.unparse(body[0])):
        return ""
    known = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
    walked = [n for statement in body for n in ast.walk(statement)]
    known |= {n.id for n in walked if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    known |= {n.arg for n in walked if isinstance(n, ast.arg)}
    numbers: dict[str, str] = {}
    for n in walked:
        field = {ast.Name: "id", ast.arg: "arg"}.get(type(n))
        if field and getattr(n, field) in known:
            setattr(n, field, numbers.setdefault(getattr(n, field), f"v{len(numbers)}"))
    return "\n".join(map(ast.unparse, body))


def _is_overhead(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr | ast.Assign):
        return False
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return docstring or ast.unparse(statement.value).startswith("checks.")


def versions(root: Path) -> list[str]:
    """jaxrl.__version__ is the version of the package."""
    package = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    source = (root / "jaxrl" / "__init__.py").read_text("utf-8")
    return [] if f'__version__ = "{package}"' in source else [f"__version__ is not {package}"]


def index_current(root: Path) -> list[str]:
    """The index is complete and up to date."""
    return index.stale(root)
