"""Make the notebooks from the examples, and run them: `make notebooks`, or some of them by name.

    python docs/notebooks.py explain skeletons
    python docs/notebooks.py examples/explain.py --out elsewhere

examples/NAME.py is the source: jupytext makes its paragraphs cells, the text at its top is that of the
notebook, and what only a notebook can show comes after. Each notebook has the hash of its script;
tests/test_examples.py tells when one is older.
"""

import argparse
import ast
import base64
import hashlib
import re
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDER = EXAMPLES / "notebooks"
# Each notebook: the extras that it needs, and the cell at its end.
NOTEBOOKS = {
    "first_model": ("torch", ""),
    "own_folder": ("torch,pretrained", ""),
    "skeletons": ("torch", ""),
    "explain": (
        "torch,pretrained,viz",
        "from IPython.display import Image\n\n"
        'Image(insight.draw_explanation(explanation, work / "why.png"), width=800)',
    ),
    "export_onnx": ("torch,export", ""),
}
PICTURE = Path(__file__).with_name("figures") / "explain.png"  # of README.md: the last one of that notebook
DARK = PICTURE.with_stem("explain-dark")  # the same for dark pages of the site
SECONDS = 600  # for one cell
IMPORTS = (ast.Import, ast.ImportFrom)


def _one_import(source: str) -> str:
    """The imports in one paragraph, and so in one cell."""
    last = max(node.end_lineno or 0 for node in ast.parse(source).body if isinstance(node, IMPORTS))
    lines = source.splitlines()
    return "\n".join([*filter(None, lines[:last]), *lines[last:]])


def made(script: Path) -> nbformat.NotebookNode:
    """The notebook of a script, not run."""
    source = script.read_text(encoding="utf-8")
    title, _, more = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    extras, last = NOTEBOOKS[script.stem]
    book = jupytext.reads(_one_import(source.partition('"""\n')[2].strip()), fmt="py:light")
    install = f"Made from `{script.name}`. It needs `pip install 'keras_actrec[{extras}]'`."
    more = re.sub(r"(keras-actrec .+)", r"`\1`", more.strip())
    text = "\n\n".join(filter(None, [f"# {title.rstrip('.')}", more, install]))
    book.cells = [new_markdown_cell(text), *book.cells, *([new_code_cell(last)] if last else [])]
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"  # and not another one each time
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.metadata = nbformat.from_dict(
        {
            "kernelspec": kernel,
            "language_info": {"name": "python"},
            "script_sha256": hashlib.sha256(source.encode()).hexdigest(),
        }
    )
    return book


def run(book: nbformat.NotebookNode) -> None:
    """Run a notebook in an empty folder; its outputs come into it."""
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(book, timeout=SECONDS, resources=place, coalesce_streams=True).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":  # what backends tell of this machine stays away
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]


def main() -> None:
    """Make those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", help="names, or files; default all")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the notebooks")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    for name in options.scripts or NOTEBOOKS:
        script = Path(name) if name.endswith(".py") else EXAMPLES / f"{name}.py"
        book = made(script)
        pictured = script.stem == PICTURE.stem and options.out == FOLDER
        if pictured:
            dark = f"insight.draw_explanation(explanation, {str(DARK.resolve())!r}, dark=True)"
            book.cells.append(new_code_cell(dark))
        run(book)
        if pictured:
            book.cells.pop()
        nbformat.write(book, options.out / f"{script.stem}.ipynb")
        if pictured:
            PICTURE.write_bytes(base64.b64decode(book.cells[-1].outputs[-1].data["image/png"]))
        print(options.out / f"{script.stem}.ipynb", flush=True)


if __name__ == "__main__":
    main()
