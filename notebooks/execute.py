"""Execute the notebooks in place: `python -m notebooks.execute [NAME ...]`, by default all."""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
NUM_COLOURS = 64


def read(name: str) -> nbformat.NotebookNode:
    """A notebook as it stands."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def executed(name: str) -> nbformat.NotebookNode:
    """A notebook with the outputs of now; of stderr there are none."""
    notebook = read(name)
    NotebookClient(notebook, timeout=900, record_timing=False, coalesce_streams=True).execute(
        cwd=FOLDER
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            told = [x for x in cell.outputs if x.get("name") != "stderr"]
            cell.outputs = [with_small_pictures(output) for output in told]
    notebook.metadata.language_info = {"name": "python"}  # no version, which would differ
    return notebook


def with_small_pictures(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output whose picture has few colours, which makes a third of it."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        small = io.BytesIO()
        picture.convert("RGB").quantize(NUM_COLOURS).save(small, "png", optimize=True)
        data["image/png"] = base64.b64encode(small.getvalue()).decode()
    return output


def main(names: list[str]) -> None:
    """Execute, and write what came of it."""
    for name in names or NOTEBOOKS:
        nbformat.write(executed(name), FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])
