"""The commands and the code of README.md do what it says, in an empty folder with somebody's videos."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import trees

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = {
    kind: re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for kind in ("bash", "python")
}
# Of the commands, those that other tests have: files that are not here, or work that takes long.
ELSEWHERE = ("gsm.pth.tar", "UTKINECT", "pool.onnx")
# Of each training, to be quick.
SMALL = ("train.epochs=2", "clip.size=32", "model.backbone=efficientnet_lite0:block1_output")
RUN = """
import sys
from keras_actrec.cli.main import app
for command in {commands!r}:
    print("$", *command, flush=True)
    try:
        app(command)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{command}} ended with {{end.code}}")
"""


def commands():
    """The words of each keras-actrec command in README.md, without its comment."""
    lines = [line.partition("#")[0] for block in BLOCKS["bash"] for line in block.splitlines()]
    words = [shlex.split(line.removeprefix(".venv/bin/")) for line in lines]
    return [each[1:] for each in words if each and each[0] == "keras-actrec"]


@pytest.mark.no_backend
def test_the_commands_run_one_after_the_other(tmp_path, run_python):
    trees.folder(tmp_path / "videos")
    trees.poses(tmp_path / "poses")
    for file in ("clip.mp4", "clips/1.mp4", "clips/2.mp4"):
        trees.video(tmp_path / file, 0)
    todo = [command for command in commands() if not set(ELSEWHERE) & set(command)]
    assert ["train", "--data", "videos", "--out", "runs/mine"] in todo
    for command in todo:
        if command[0] in ("train", "extract"):
            small = SMALL[:1] if "poses" in command else SMALL
            command += [word for change in small for word in ("--set", change)]
    done = run_python("-c", RUN.format(commands=todo))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "runs/mine/model.keras",
        "runs/changed/model.keras",
        "mine.toml",
        "audit.json",
        "scores.html",
    ):
        assert (tmp_path / name).is_file(), name


def test_the_code_of_the_layers_runs():
    *_, block = BLOCKS["python"]
    names = {"features": np.ones((2, 3, 4, 5), "float32")}
    exec(block, names)
    assert names["outputs"].shape == (2, 768)
