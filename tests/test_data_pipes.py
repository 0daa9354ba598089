"""Pipes and sockets among the data: named or passed over in one line, and nobody waits for them."""

import contextlib
import os
import socket

import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import training
from keras_actrec.cli.main import app
from keras_actrec.data import VideoError, read_whole
from keras_actrec.errors import UserError


def pipe(path):
    os.mkfifo(path)


def named_socket(path):
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):  # whose names are short
        made.bind(path.name)


@pytest.fixture(params=[pipe, named_socket], ids=["pipe", "socket"])
def endless(request):
    """Puts what reading would wait for in the place of a file."""

    def put(path):
        path.unlink()
        request.param(path)
        return path

    return put


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("ucf101", "ucfTrainTestlist/classInd.txt"),
        ("ucf101", "ucfTrainTestlist/trainlist01.txt"),
        ("utkinect", "actionLabel_modified.txt"),
    ],
)
def test_a_list_of_a_set_that_is_no_regular_file_is_refused(dataset, name, endless, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    getattr(trees, dataset)(root)
    file = endless(root / name)
    with pytest.raises(UserError, match="it is no regular file; put the list of the set there") as caught:
        read_whole(root, dataset=dataset)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("kind", ["folder", "poses", "features"])
def test_what_is_no_regular_file_is_one_bad_file_of_a_training(kind, endless, tmp_path):
    getattr(trees, kind)(tmp_path / "set")
    suffix = {"folder": ".mp4", "poses": ".npz", "features": ".npy"}[kind]
    train = tmp_path / "set" / "train" if kind == "features" else tmp_path / "set"
    file = endless(sorted(train.rglob(f"*{suffix}"))[0])
    facts = training.look(tmp_path / "set")
    assert facts.bad == 1 and facts.found > 1
    data = {"folder": {}, "poses": {"dataset": "poses"}, "features": {"dataset": "features"}}[kind]
    table = {"folder": "clip", "poses": "skeleton", "features": "features"}[kind]
    model = "softmax_regression" if kind == "folder" else "stacked_rnn"
    more = {"backbone": "efficientnet_lite0:stem"} if kind == "folder" else {}
    values = {"model": {"name": model, **more}, "data": data, table: {"frames": 2}}
    with pytest.raises(VideoError) as caught:
        training.train(training.parse_recipe(values), tmp_path / "set", tmp_path / "run")
    assert str(caught.value).startswith(f"{file}: ") and "remove it" in str(caught.value)
    assert not (tmp_path / "run").exists()


def folder(path):
    path.mkdir()


@pytest.mark.no_backend
@pytest.mark.parametrize("make", [pipe, named_socket, folder])
@pytest.mark.parametrize(
    ("command", "file", "words"),
    [
        (["evaluate"], "s.npz", "is not a file of scores: write it with `evaluate --scores`"),
        (["audit", "--data", "set", "--json"], "a.json", "not an audit; write it with keras-actrec audit "),
        (["init", "--data", "set", "--out", "own.toml", "--audit"], "a.json", "not an audit; write it with "),
        (["convert", "x.pth", "--to", "x.keras", "--classes"], "names", "holds no names in UTF-8 (it is no "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_no_regular_file_is_not_waited_for_where_a_command_reads(
    command, file, words, make, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    trees.folder(tmp_path / "set")
    make(tmp_path / file)
    result = CliRunner().invoke(app, [*command, file])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    assert result.stderr.startswith("error: ") and words in result.stderr


@pytest.mark.no_backend
def test_a_run_whose_record_is_a_pipe_is_not_shown(tmp_path):
    (tmp_path / "run").mkdir()
    pipe(tmp_path / "run" / "run.json")
    result = CliRunner().invoke(app, ["results", str(tmp_path)])
    assert result.exit_code == 1 and "run.json is not JSON: is it a run directory?" in result.output
