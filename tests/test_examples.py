"""Each file of examples/ runs to its end and is short; notebooks are as new as their scripts."""

import ast
import base64
import hashlib
import importlib.util
import json
import re
from pathlib import Path

import keras
import pytest

import hostile
import trees
from keras_actrec import _backend, data, zoo
from keras_actrec.recognizer import Recognizer

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
NOTEBOOKS = sorted((FOLDER / "notebooks").glob("*.ipynb"))
MAKER = FOLDER.parent / "docs" / "notebooks.py"


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "file",
    [file for file in EXAMPLES if file.stem not in ("convert_gsm", "export_onnx", "serve", "without_keras")],
    ids=lambda f: f.stem,
)
def test_an_example_runs(file, tmp_path, run_python):
    # To the end on every line, but for how long it learns.
    quick = re.sub(r'(epochs("])? ?= ?)\d\d+', r"\g<1>3", file.read_text(encoding="utf-8"))
    (tmp_path / file.name).write_text(quick, encoding="utf-8")
    assert shown_by(file.name, tmp_path, run_python)


def shown_by(name, folder, run_python):
    """What an example in a folder prints: where it is a notebook too, and one can be run, as a notebook."""
    book = Path(name).with_suffix(".ipynb")
    if book.name not in [each.name for each in NOTEBOOKS] or not importlib.util.find_spec("nbclient"):
        done = run_python(name)
        assert done.returncode == 0, done.stderr
        return done.stdout
    done = run_python(MAKER, name, "--out", ".")
    assert done.returncode == 0, done.stderr
    cells = json.loads((folder / book).read_text(encoding="utf-8"))["cells"]
    return "".join("".join(each.get("text", ())) for cell in cells for each in cell.get("outputs", ()))


def words(source):
    """What a program consists of, however its lines are spaced."""
    return ast.dump(ast.parse(source))


@pytest.mark.no_backend
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
def test_a_notebook_is_as_new_as_its_script_and_has_outputs(file):
    script = (FOLDER / f"{file.stem}.py").read_text(encoding="utf-8")
    book = json.loads(file.read_text(encoding="utf-8"))
    assert book["metadata"]["script_sha256"] == hashlib.sha256(script.encode()).hexdigest(), (
        f"make it again: python docs/notebooks.py {file.stem}"
    )
    text, *cells = book["cells"]
    assert ast.get_docstring(ast.parse(script)).partition("\n")[0].rstrip(".") in "".join(text["source"])
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert words(code).startswith(words(script.partition('"""\n')[2]).partition("], type_ignores")[0])
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert outputs and not any(output["output_type"] == "error" for output in outputs)


@pytest.mark.no_backend
def test_the_picture_of_the_readme_is_that_of_the_notebook():
    cells = json.loads((FOLDER / "notebooks" / "explain.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = base64.b64decode("".join(cells[-1]["outputs"][-1]["data"]["image/png"]))
    assert (FOLDER.parent / "docs" / "figures" / "explain.png").read_bytes() == shown
    assert "](docs/figures/explain.png)" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.no_backend
def test_five_examples_are_notebooks_too():
    assert len(NOTEBOOKS) == 5
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{file.name})" in listed for file in NOTEBOOKS)


@pytest.mark.no_backend
def test_a_checkpoint_is_converted(tmp_path, run_python):
    torch_net = pytest.importorskip("test_checkpoints_official", reason="PyTorch writes the checkpoint")
    _, network, _, _ = torch_net.reference("bn_inception")
    torch_net.save(torch_net.official(network.state), tmp_path / "gsm.pth.tar")
    done = run_python(FOLDER / "convert_gsm.py", "gsm.pth.tar", "gsm.keras")
    assert done.returncode == 0, done.stderr
    assert "gsm: 476 weights loaded, not used: none" in done.stdout and (tmp_path / "gsm.keras").is_file()


@pytest.mark.skipif(_backend.name != "jax", reason="it starts the backend that writes the file, once")
def test_an_exported_model_answers_without_keras_as_predict_does(tmp_path, run_python):
    if not all(map(importlib.util.find_spec, ("torch", "onnxscript", "onnxruntime"))):
        pytest.skip("needs the extra `export` and PyTorch")
    clip = keras.Input((None, 16, 16, 3), name="clip")
    maps = keras.layers.GlobalAveragePooling3D()(keras.layers.Dense(8, "tanh")(clip / 64.0 - 2.0))
    model = keras.Model(clip, keras.layers.Dense(4, "softmax", name="classifier")(maps), name="small")
    seen = data.ClipTransform(16, crop="random", shrink=20, flip=True)
    look = data.ClipPreprocessor(data.Sampling(3, short="mask", speed=(0.5, 2)), seen)
    names, spec = ("a", "b", "c", "d"), zoo.spec("tsm").built({})
    Recognizer(model, names, look, spec=spec).save(tmp_path / "model.keras")
    trees.video(tmp_path / "clip.mp4", 0)
    example = (FOLDER / "export_onnx.py").read_text(encoding="utf-8")
    own = example.replace('"hman/synthetic"', repr(str(tmp_path / "model.keras")))
    (tmp_path / "export_onnx.py").write_text(own, encoding="utf-8")
    lines = shown_by("export_onnx.py", tmp_path, run_python).splitlines()
    assert [line[:5] for line in lines[-2:]] == ["ONNX ", "Keras"] and own != example
    assert lines[-2].partition(": ")[2] == lines[-1].partition(":")[2].strip()
    command = "-m", "keras_actrec", "export", "model.keras", "--format", "onnx", "--out", "model.onnx"
    done = run_python(*command, "--frames", "4")
    assert done.returncode == 0, done.stderr
    done = run_python(FOLDER / "without_keras.py", "model.onnx", "clip.mp4")
    assert done.returncode == 0, done.stderr
    found = {name: float(score) for score, name in map(str.split, done.stdout.splitlines())}
    look = data.ClipPreprocessor(data.Sampling(4), seen)
    expected = dict(Recognizer(model, names, look, spec=spec).predict_video(tmp_path / "clip.mp4"))
    assert found == pytest.approx(expected, abs=1.1e-4)  # it prints four places
    assert len(set(found.values())) > 1
    hostile.write(tmp_path / "short.mp4", [hostile.barcode(0)] * 2)
    done = run_python(FOLDER / "without_keras.py", "model.onnx", "short.mp4")
    assert done.returncode == 1 and "2 frames to choose from, fewer than 4" in done.stderr


@pytest.mark.no_backend
def test_examples_are_short_and_listed():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    for file in EXAMPLES:
        assert f"[{file.name}]({file.name})" in listed
        assert len(file.read_text(encoding="utf-8").splitlines()) < 80
    assert listed.count(".py](") == len(EXAMPLES)
