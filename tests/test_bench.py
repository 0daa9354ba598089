"""`keras-actrec bench`: what it measures, not how fast this machine is."""

import json
import tarfile

import pytest
from typer.testing import CliRunner

from keras_actrec.cli.main import app
from keras_actrec.data import write_synthetic
from keras_actrec.data.bench import bench_data
from keras_actrec.errors import UserError


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


PROGRAMS = {"OpenCV", "PyAV", "frame cache", "feature cache"}  # and decord, where it is installed


def test_data_is_measured_in_one_run(tmp_path):
    seen = []

    def progress(stage, done, total):
        seen.append((stage, done))

    found = bench_data(tmp_path, num_videos=1, rounds=1, samples=3, progress=progress)
    assert (found["videos"], found["rounds"]) == (1, 1)
    speeds = found["clips_per_cpu_second"]
    assert PROGRAMS <= set(speeds) <= PROGRAMS | {"decord"} and min(speeds.values()) > 0
    ratio = found["ratios"]["frame cache / OpenCV"]
    assert ratio == pytest.approx(speeds["frame cache"] / speeds["OpenCV"])
    assert set(found["memory"]) in (set(), {"clips, decoded", "clips, frame cache", "features"})
    assert ("rounds", 1) in seen


def test_own_videos_are_measured_from_the_command_line(tmp_path):
    write_synthetic(tmp_path / "videos", clips_per_class=1, size=32, frames=16)
    options = ["--rounds", 1, "--samples", 0, "--json", tmp_path / "r.json"]
    result = run("bench", "data", "--data", tmp_path / "videos", *options)
    assert result.exit_code == 0, result.stderr
    assert "feature cache / OpenCV: " in result.stdout and "10 videos" in result.stdout
    assert json.loads((tmp_path / "r.json").read_text())["memory"] == {}


def test_videos_in_tar_files_are_measured(tmp_path):
    first = next(
        write_synthetic(tmp_path / "videos", clips_per_class=1, size=32, frames=16).parent.rglob("*.mp4")
    )
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(first, "a.mp4")
    found = bench_data(tmp_path, videos=[tmp_path / "s.tar/a.mp4"], rounds=1, samples=0)
    assert set(found["clips_per_cpu_second"]) == PROGRAMS - {"PyAV"}


@pytest.mark.parametrize("name", ["num_videos", "rounds", "samples"])
def test_figures_out_of_range_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=f"`{name}` must be a whole number from"):
        bench_data(tmp_path, **{name: -1})


def test_another_subject_is_refused():
    result = run("bench", "layers")
    assert result.exit_code == 1 and "what can be measured is: data. Received: 'layers'" in result.stderr
