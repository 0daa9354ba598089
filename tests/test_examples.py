"""Each file of examples/ runs to its end and is short."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "file", [file for file in EXAMPLES if file.stem != "convert_gsm"], ids=lambda f: f.stem
)
def test_an_example_runs(file, tmp_path, run_python):
    # To the end on every line, but for how long it learns.
    quick = re.sub(r'(epochs("])? ?= ?)\d\d+', r"\g<1>3", file.read_text(encoding="utf-8"))
    (tmp_path / file.name).write_text(quick, encoding="utf-8")
    done = run_python(file.name)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.no_backend
def test_a_checkpoint_is_converted(tmp_path, run_python):
    torch_net = pytest.importorskip("test_checkpoints_official", reason="PyTorch writes the checkpoint")
    _, network, _, _ = torch_net.reference("bn_inception")
    torch_net.save(torch_net.official(network.state), tmp_path / "gsm.pth.tar")
    done = run_python(FOLDER / "convert_gsm.py", "gsm.pth.tar", "gsm.keras")
    assert done.returncode == 0, done.stderr
    assert "gsm: 476 weights loaded, not used: none" in done.stdout and (tmp_path / "gsm.keras").is_file()


@pytest.mark.no_backend
def test_examples_are_short_and_listed():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    for file in EXAMPLES:
        assert f"[{file.name}]({file.name})" in listed
        assert len(file.read_text(encoding="utf-8").splitlines()) < 80
    assert listed.count(".py](") == len(EXAMPLES)
