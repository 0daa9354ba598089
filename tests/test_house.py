"""Who may import whom, and where a backend may be named (read from the source, nothing is imported)."""

import ast
import subprocess
from pathlib import Path

import keras
import pytest
from keras import ops

import keras_actrec
from keras_actrec import _backend

pytestmark = pytest.mark.no_backend

PACKAGE = Path(keras_actrec.__file__).parent
CHECKOUT = Path(__file__).parents[1]

# From the ground up. A module imports from the floors below its own and from its own package.
FLOORS = (
    {"_text"},
    {"errors"},
    {"_children", "_fonts", "_formats", "_locks", "_numbers", "_quiet", "_signals", "_suggest", "_types"},
    {"_files", "bodies"},
    {"_archive", "_backend_choice", "_pickles", "_shipped"},
    {"cluster"},
    {"_backend"},
    {"_installation"},  # loads the backend to see whether it works
    {"layers"},
    {"checkpoints"},
    {"backbones"},  # read their ImageNet weights with `checkpoints`
    {"zoo", "data"},
    {"hub"},
    {"prediction", "scoring"},
    {"recognizer"},
    {"training", "evaluation", "trained"},
    {"insight", "tuning"},
    {"deploy"},  # its page shows what `insight` draws
    {"reproduction"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FORBIDDEN = {("data", "layers")}  # although it lies below
BACKENDS = {"jax", "torch", "tensorflow"}
DATA_FOLDERS = {"tuning", "zoo"}
MOST_LINES = 49  # of code in a function


def offences(source, module):
    """Lists what breaks the rules in the source of a module, such as "keras_actrec.layers.hm_rnn"."""
    here = module.split(".")[1]
    found = []
    if here not in FLOOR_OF:
        found.append(f"{module}: {here} has no floor")
    tree = ast.parse(source)
    for line, name in _imports(tree, module):
        parts = name.split(".")
        if parts[:2] == ["keras", "src"]:
            found.append(f"{module}:{line} uses keras.src")
        if parts[0] in DATA_FOLDERS:
            found.append(f"{module}:{line} imports the data folder {parts[0]}/")
        if parts[0] in BACKENDS and here != "_backend":
            found.append(f"{module}:{line} imports {parts[0]} outside _backend")
        if parts[0] == "keras_actrec" and len(parts) > 1:
            there = parts[1]
            if there not in FLOOR_OF or here not in FLOOR_OF or there == here:
                continue
            if FLOOR_OF[there] >= FLOOR_OF[here] or (here, there) in FORBIDDEN:
                found.append(f"{module}:{line} {here} imports {there}")
    if here != "_backend":
        found += [f"{module}:{line} asks which backend runs" for line in _backend_questions(tree)]
    return found


def _imports(tree, module):
    """Yields line and dotted name of everything a module imports or reaches through a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:  # relative; a module's own name ends with its file
                origin = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("keras.", "keras_actrec.")):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, a.value) for a in node.args if isinstance(a, ast.Constant))


def _backend_questions(tree):
    """Yields the lines that compare the name of the active backend with something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                text = ast.unparse(side)
                if text.endswith("backend()") or text.endswith("_backend.name"):
                    yield node.lineno


def test_every_floor_is_lived_on():
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert set(FLOOR_OF) == rooms - {"__init__"}


def test_the_house_is_in_order():
    # `keras_actrec/__init__.py` stands above the floors and imports from any
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
    assert len(files) > 20
    found = []
    for path in files:
        module = ".".join(("keras_actrec", *path.relative_to(PACKAGE).with_suffix("").parts))
        found += offences(path.read_text(encoding="utf-8"), module)
    assert found == []


@pytest.mark.parametrize(
    "module, source",
    [
        ("keras_actrec.layers.made_up", "from keras_actrec.zoo import hman"),
        ("keras_actrec.layers.made_up", "from keras_actrec import data"),
        ("keras_actrec.layers.made_up", "from ..data import loader"),
        ("keras_actrec.layers.__init__", "from .. import data"),
        ("keras_actrec.layers.made_up", "import keras_actrec\nkeras_actrec.data.load()"),
        ("keras_actrec.layers.made_up", "def f():\n    import keras_actrec.data"),
        ("keras_actrec.data.made_up", "from keras_actrec import zoo"),
        ("keras_actrec.data.made_up", "from keras_actrec.layers import FrameWise"),
        ("keras_actrec.training.made_up", "from keras_actrec.evaluation import top1"),
        ("keras_actrec.recognizer", "from keras_actrec import training"),
        ("keras_actrec.errors", "from keras_actrec import _backend"),
        ("keras_actrec.made_up", "pass"),
        ("keras_actrec.zoo.made_up", "import torch"),
        ("keras_actrec.zoo.made_up", "from jax import numpy"),
        ("keras_actrec.zoo.made_up", "import importlib\nimportlib.import_module('tensorflow')"),
        ("keras_actrec.zoo.made_up", "from keras.src import layers"),
        ("keras_actrec.zoo.made_up", "import keras\nkeras.src.layers.Dense(1)"),
        ("keras_actrec._backend.jax", "from keras.src import backend"),
        ("keras_actrec.zoo.made_up", "import zoo.hman"),
        ("keras_actrec.zoo.made_up", "from tuning import study"),
        ("keras_actrec.zoo.made_up", "import keras\nif keras.backend.backend() == 'jax':\n    pass"),
        ("keras_actrec.zoo.made_up", "from keras_actrec import _backend\nx = _backend.name != 'jax'"),
    ],
)
def test_a_broken_rule_is_found(module, source):
    assert offences(source, module)


@pytest.mark.parametrize(
    "module, source",
    [
        ("keras_actrec._backend.torch", "import torch"),
        (
            "keras_actrec.zoo.made_up",
            "from keras_actrec.layers import HMRNN\nfrom keras_actrec.zoo import _parts",
        ),
        ("keras_actrec.zoo.made_up", "from . import _parts\nfrom ..errors import UserError"),
        ("keras_actrec.training.made_up", "from keras_actrec import data, recognizer, zoo"),
        ("keras_actrec.cli.made_up", "import keras_actrec\nprint(keras_actrec.__version__)"),
        ("keras_actrec.data.made_up", "from keras_actrec import backbones"),
    ],
)
def test_what_is_allowed_is_not_found(module, source):
    assert offences(source, module) == []


def test_names_reach_the_terminal_in_one_place():
    # `cli/_terminal.py` makes text of them. Studies print into logs, progress has a console of its own.
    allowed = {"cli/_terminal.py", "cli/_progress.py", "tuning/distributed.py", "tuning/trial.py"}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "Console", "typer.echo") or called.endswith((".add_row", "stdout.write")):
                assert path.relative_to(PACKAGE).as_posix() in allowed, f"{path}:{node.lineno} {called}"


def too_long(source):
    """Yields line, name and lines of code of each function that has too many.

    Its signature, docstrings, comments and blank lines do not count.
    """
    lines = enumerate(source.splitlines(), 1)
    code = {number for number, line in lines if line.strip() and not line.strip().startswith("#")}
    functions = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if ast.get_docstring(node, clean=False) is not None:
                code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
            if not isinstance(node, ast.ClassDef):
                functions.append(node)
    for node in functions:
        count = len(code & set(range(node.body[0].lineno, node.end_lineno + 1)))
        if count > MOST_LINES:
            yield node.lineno, node.name, count


@pytest.mark.parametrize("folder", ["keras_actrec", "benchmarks", "docs", "examples"])
def test_no_function_is_longer_than_a_page(folder):
    files = sorted((CHECKOUT / folder).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(CHECKOUT)}:{line} {name} has {count} lines of code: make of it the two things "
        f"that it does, each of at most {MOST_LINES}"
        for path in files
        for line, name, count in too_long(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("lines, found", [(49, 0), (50, 1)])
def test_the_lines_of_a_function_are_counted_without_its_signature_and_words(lines, found):
    words = ['    """What it does.', "", '    In words."""', "    # why", ""]
    source = ["class A:", "  def f(", "    self,", "    x,", "  ):", *words, *["    x += 1"] * lines]
    assert len(list(too_long("\n".join(source)))) == found


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_nothing_around_the_package_imports_private_keras_or_the_data_folders(folder):
    found, files = [], sorted((CHECKOUT / folder).glob("*.py"))
    assert len(files) > 5
    for path in files:
        for line, name in _imports(ast.parse(path.read_text(encoding="utf-8")), path.stem):
            if name.startswith("keras.src") or name.split(".")[0] in DATA_FOLDERS:
                found.append(f"{path.name}:{line} {name}")
    assert found == []


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "use",
    [
        lambda: ops.zeros(2),
        lambda: ops.numpy.mean([1.0]),
        lambda: keras.random.normal((2,)),
        lambda: keras.Variable([0.0]),
        lambda: keras.Input((2,)),
        lambda: keras.layers.Dense(1),
        lambda: keras.metrics.Mean(),
        lambda: _backend.devices(),
    ],
)
def test_a_test_that_runs_on_one_backend_only_cannot_use_it(use):
    with pytest.raises(pytest.fail.Exception, match="marked `no_backend`"):
        use()


def test_every_test_runs_on_the_first_backend_and_what_computes_on_the_others(tmp_path):
    # `make test` in an environment where all is installed and Python says what it is asked for.
    (tmp_path / "bin").mkdir()
    for name in ("bin/pip", ".all"):
        (tmp_path / name).touch()
    (tmp_path / "bin/python").write_text('#!/bin/sh\nprintf "%s|" "$KERAS_BACKEND" "$@"\necho\n')
    (tmp_path / "bin/python").chmod(0o755)
    command = ["make", "--silent", "test", f"VENV={tmp_path}", "BACKEND=torch tensorflow jax"]
    printed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    calls = [line.split("|")[:-1] for line in printed.splitlines() if "|" in line]
    assert [call[:3] for call in calls] == [[name, "-m", "pytest"] for name in ("torch", "tensorflow", "jax")]
    selected = [call[call.index("-m", 3) :] for call in calls]
    others = ["-m", "not no_backend and not once"]
    assert selected == [["-m", ""], others, others]


# Who advises a whole command, and the test that runs it as it is advised.
ADVISERS = {
    "cli/init.py": "test_bad_input.py",
    "cli/reproduce.py": "test_reproduce_run.py",
    "data/audit.py": "test_bad_input.py",
    "data/datasets/_common.py": "test_prediction.py",
    "evaluation/results.py": "test_bad_input.py",
    "reproduction/work.py": "test_reproduce_run.py",
    "training/facts.py": "test_bad_input.py",
}


def test_whoever_advises_a_command_has_a_test_that_runs_it():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "import command" in path.read_text(encoding="utf-8")
    }
    assert found == set(ADVISERS)
    for test in ADVISERS.values():
        assert "keras-actrec" in (CHECKOUT / "tests" / test).read_text(encoding="utf-8")
