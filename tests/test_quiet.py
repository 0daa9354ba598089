"""The terminal holds our lines alone: what C libraries write past every log level does not arrive."""

import json
import re

import cv2
import pytest

import hostile
from keras_actrec.data import write_synthetic

WRITES = """
import os, sys
import keras_actrec_program
from keras_actrec._quiet import keep_stderr_for_python
keep_stderr_for_python()
os.write(2, b"theirs\\n")
print("ours: \\u00e4", file=sys.stderr)
if len(sys.argv) > 1:
    os.abort()
raise ValueError("and a traceback")
"""
COMMANDS = """
import json, sys
import keras_actrec_program
from keras_actrec._quiet import keep_stderr_for_python
keep_stderr_for_python()
from keras_actrec.cli.main import app
for command in json.loads(sys.argv[1]):
    print("==", command[0], file=sys.stderr)
    try:
        app(command)
    except SystemExit as end:
        print("status", end.code, file=sys.stderr)
"""
# Nobody asks for what libraries say, as `make test` does.
PLAIN = {"TF_CPP_MIN_LOG_LEVEL": None, "OPENCV_LOG_LEVEL": None, "OPENCV_FFMPEG_LOGLEVEL": None}
STAGES = "reading videos|extracting features|training|scoring|predicting"
OURS = rf"== \w+|status [01]|error: .*|({STAGES}) \d+/\d+  .*"


@pytest.mark.no_backend
def test_what_python_writes_arrives_and_what_libraries_write_does_not(run_python):
    lines = run_python("-c", WRITES, **PLAIN).stderr.splitlines()
    assert lines[0] == "ours: ä" and lines[-1] == "ValueError: and a traceback" and "theirs" not in lines


@pytest.mark.no_backend
@pytest.mark.parametrize("name", PLAIN)
def test_who_sets_a_log_level_sees_what_libraries_write(run_python, name):
    assert "theirs" in run_python("-c", WRITES, **{**PLAIN, name: "0"}).stderr.splitlines()


@pytest.mark.no_backend
def test_a_crash_leaves_pythons_stack(run_python):
    done = run_python("-c", WRITES, "crash", **PLAIN)
    assert done.returncode < 0 and "Fatal Python error: Aborted" in done.stderr


@pytest.mark.no_backend
def test_a_program_without_stderr_runs(run_python):
    lines = (
        "import sys, keras_actrec_program",
        "from keras_actrec._quiet import keep_stderr_for_python",
        "sys.stderr = None",
        "keep_stderr_for_python()",
    )
    assert run_python("-c", "\n".join(lines), **PLAIN).returncode == 0


@pytest.mark.no_backend
@pytest.mark.parametrize(("level", "found"), [(None, "0"), ("ERROR", "2")])
def test_opencv_is_silent_unless_its_level_is_set(run_python, level, found):
    code = "from keras_actrec.data._opencv import opencv; print(opencv().utils.logging.getLogLevel())"
    done = run_python("-c", f"import keras_actrec_program; {code}", OPENCV_LOG_LEVEL=level)
    assert done.stdout.strip() == found, done.stderr


RECIPE = """
[model]
name = "softmax_regression"
backbone = "efficientnet_lite0:block1_output"

[clip]
frames = 2
size = 32
crop = "none"

[train]
epochs = 1
"""


def test_commands_write_their_own_lines_only_on_good_and_on_damaged_files(run_python, tmp_path):
    data, bad = tmp_path / "set", tmp_path / "set" / "grow"
    write_synthetic(data, clips_per_class=2, size=32, frames=8, test_fraction=0.5)
    (data / "manifest.csv").unlink()
    hostile.without_moov(bad / "without_moov.mp4")
    hostile.half_an_avi(bad / "half.avi")
    hostile.flipped_bits(bad / "flipped.mp4")
    for suffix in (".jpg", ".png"):
        (bad / suffix[1:]).mkdir()
        for number in range(4):
            frame = bad / suffix[1:] / f"{number}{suffix}"
            cv2.imwrite(str(frame), hostile.noise(1)[0])
            frame.write_bytes(frame.read_bytes()[: -frame.stat().st_size // 2])
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    skip = ["--on-error", "skip", "--max-skipped", "1"]
    model = "run/model.keras"
    commands = [
        ["audit", "--data", "set"],
        ["train", "recipe.toml", "--data", "set", "--out", "run", *skip],
        ["evaluate", model, "--data", "set", "--part", "all", *skip],
        ["predict", model, str(data / "shrink" / "shrink_000.mp4")],
        ["predict", model, str(bad / "without_moov.mp4")],
        ["train", "recipe.toml", "--data", "set", "--out", "other"],
    ]
    done = run_python("-c", COMMANDS, json.dumps(commands), **PLAIN)
    lines = done.stderr.splitlines()
    assert [line for line in lines if not re.fullmatch(OURS, line)] == []
    assert [line for line in lines if line.startswith("status")] == [
        f"status {n}" for n in (1, 0, 0, 0, 1, 1)
    ]
