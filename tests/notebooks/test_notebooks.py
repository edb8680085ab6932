"""The notebooks run from the first cell to the last, link to what is there, and stay small."""

import re

import pytest

from notebooks.execute import FOLDER, NOTEBOOKS, executed, read
from tests.compiler import flags

LARGEST_OUTPUT = 50_000  # characters

LINK = re.compile(r"\[(`?)([^\]]+?)\1\]\(([^)#\s]+)\)")


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell):
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def links(notebook):
    """Text, whether it is code, and where it points, of each link to a file of ours."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for tick, what, target in LINK.findall(text):
        if not target.startswith("http"):
            yield what, bool(tick), target


def broken(notebook):
    """Links that lead nowhere, and names that are not in the file that they point to."""
    for what, is_code, target in links(notebook):
        path = FOLDER / target
        if not path.is_file():
            yield f"{target} is not there"
        elif is_code and path.stem != what and f"\ndef {what}(" not in path.read_text("utf-8"):
            yield f"{what} is not in {target}"


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_lead_to_what_they_name(name):
    notebook = read(name)
    assert list(links(notebook))
    assert not list(broken(notebook))


def test_a_broken_link_is_found():
    notebook = read(NOTEBOOKS[0])
    notebook.cells[0].source += "[`gea`](../jaxrl/formulas/advantages.py) [it](../nowhere.py)"
    assert list(broken(notebook)) == [
        "gea is not in ../jaxrl/formulas/advantages.py",
        "../nowhere.py is not there",
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_there_and_small(name):
    cells = code(read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum(map(pictures, cells))
    assert all(output.output_type != "error" for output in outputs)
    assert all(len(str(output)) < LARGEST_OUTPUT for output in outputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_first_to_last(name, monkeypatch):
    """The kernel is a process of its own, which sees of the tests' settings the environment's."""
    monkeypatch.setenv("NOTEBOOK_SMALL", "1")
    monkeypatch.setenv("NPROC", "1")
    monkeypatch.setenv("XLA_FLAGS", flags(1))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    before, after = read(name), executed(name)
    assert [pictures(cell) for cell in code(after)] == [pictures(cell) for cell in code(before)]
