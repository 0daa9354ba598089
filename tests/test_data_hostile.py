"""Damaged, odd and hostile files: each gets its status from both decoders, in time, and stops no run."""

import functools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

import hostile
from keras_actrec.data import (
    Manifest,
    Record,
    VideoError,
    audit_videos,
    index_videos,
    iter_frames,
    probe,
    read_frames,
    read_manifest,
)
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

SECONDS = 60  # for all kinds; measured: 4, most of it to import Keras
READ = """
import json, sys
from pathlib import Path
from keras_actrec.data import VideoError, probe, read_frames

decoder, *files = json.loads(sys.stdin.read())
for file in files:
    print(json.dumps([file]), flush=True)
    try:
        info = probe(file, decoder=decoder)
        read_frames(file, [info.frames - 1], decoder=decoder)
        count, *size, _ = read_frames(file, decoder=decoder).shape
        found = ["ok", count, size]
        assert (count, *size) == (info.frames, info.height, info.width)
    except VideoError as error:
        assert str(error).isprintable() and ": " in str(error)
        found = [error.status]
    print(json.dumps([file, *found]), flush=True)
"""
NO_PYAV = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV: pip install 'keras_actrec[pyav]'")
DECODERS = ["opencv", pytest.param("pyav", marks=NO_PYAV)]
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of every kind: dict of the kind's name to the path."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = {}
    for name, (make, suffix, *_) in hostile.KINDS.items():
        paths[name] = folder / (name + suffix)
        make(paths[name])
    return paths


def expected(name):
    status, *about = hostile.KINDS[name][2:]
    return [status, *(list(value) if isinstance(value, tuple) else value for value in about)]


@pytest.fixture(scope="module")
def answers(files):
    """Asks a process of its own, by a decoder, about every kind: path to status, frames and size."""

    def ask(decoder):
        env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
        child = subprocess.Popen(
            [sys.executable, "-c", READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )
        try:
            told, _ = child.communicate(json.dumps([decoder, *map(str, files.values())]), SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            told, _ = child.communicate()
        # where it hung, crashed or met another error, the last file's answer is empty
        return {Path(file): found for file, *found in map(json.loads, told.splitlines())}

    return functools.cache(ask)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", hostile.KINDS, ids=lambda name: ascii(name.split()[0]).strip("'"))
def test_a_kind_gets_its_status(files, answers, name, decoder):
    if name == "no_permission" and AS_ROOT:
        pytest.skip("root may read every file: run the tests as another user")
    assert answers(decoder).get(files[name], "not reached") == expected(name)


def test_there_are_at_least_thirty_kinds():
    assert len(hostile.KINDS) >= 30
    assert {kind[2] for kind in hostile.KINDS.values()} == {"ok", "truncated", "unreadable", "empty"}


@pytest.fixture(scope="module")
def records(files):
    names = [name for name in hostile.KINDS if name != "no_permission"]
    return [Record(files[name], name, place % 2) for place, name in enumerate(names)]


def test_skipping_stops_at_nothing_and_loses_nobody(records):
    good, bad = index_videos(records, on_error="skip", max_skipped=1, workers=3)
    assert len(good) + len(bad) == len(records)
    assert [record.path for record, _ in good] == [r.path for r in records if expected(r.path)[0] == "ok"]
    assert [error.path for error in bad] == [r.file for r in records if expected(r.path)[0] != "ok"]


def test_more_than_the_allowed_share_skipped_is_an_error(records):
    bad = sum(expected(record.path)[0] != "ok" for record in records)
    index_videos(records, on_error="skip", max_skipped=bad / len(records))
    with pytest.raises(UserError, match=f"^{bad} of {len(records)} videos cannot be used") as caught:
        index_videos(records, on_error="skip", max_skipped=(bad - 1) / len(records))
    assert str(caught.value).isprintable()
    with pytest.raises(UserError, match="allows a share of 0.1"):
        index_videos(records, on_error="skip")
    with pytest.raises(UserError, match="`max_skipped` must be between 0 and 1. Received: max_skipped=10"):
        index_videos(records, on_error="skip", max_skipped=10)


def test_an_audit_says_the_same_and_is_taken_instead(records, tmp_path, monkeypatch):
    audit = audit_videos(
        Manifest(tuple(records), ("a", "b"), tmp_path), out=tmp_path / "audit.json", workers=3
    )
    assert {path: entry["status"] for path, entry in audit.files.items()} == {
        record.path: expected(record.path)[0] for record in records
    }
    assert sum(audit.counts.values()) == len(records)
    plain = index_videos(records, on_error="skip", max_skipped=1)
    unread = {record.file for record in records if audit.files[record.path]["sha256"] is None}
    monkeypatch.setattr(
        "keras_actrec.data.decode.probe", lambda file: probe(file) if file in unread else None
    )
    taken = index_videos(records, on_error="skip", max_skipped=1, audit=audit)
    assert taken[0] == plain[0]
    assert [(str(error), error.status) for error in taken[1]] == [
        (str(error), error.status) for error in plain[1]
    ]


def test_a_folder_of_classes_with_links_in_circles_and_folders_for_files(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        hostile.one_frame(tmp_path / label / "clip.mp4")
        (tmp_path / label / "back").symlink_to(tmp_path)
        (tmp_path / label / "here").symlink_to(tmp_path / label)
    hostile.folder(tmp_path / "a" / "folder.mp4")
    hostile.dangling_link(tmp_path / "b" / "gone.mp4")
    hostile.link_loop(tmp_path / "b" / "loop.mp4")
    records = read_manifest(tmp_path).records
    assert [record.path for record in records] == [
        "a/clip.mp4",
        "a/folder.mp4",
        "b/clip.mp4",
        "b/gone.mp4",
        "b/loop.mp4",
    ]
    good, bad = index_videos(records, on_error="skip", max_skipped=0.6)
    assert [error.status for error in bad] == ["empty", "unreadable", "unreadable"] and len(good) == 2


@pytest.mark.parametrize(
    "error", [MemoryError("Unable to allocate 1 TiB"), IndexError("x"), RecursionError()]
)
def test_an_error_that_nobody_has_thought_of_is_the_status_of_its_file(files, tmp_path, monkeypatch, error):
    bad, good = (Record(files[name], name, 0) for name in ("one_pixel", "one_frame"))

    def fails(path):
        if path == bad.file:
            raise error
        return probe(path)

    monkeypatch.setattr("keras_actrec.data.decode.probe", fails)
    monkeypatch.setattr("keras_actrec.data.audit.probe", fails)
    found, (skipped,) = index_videos([bad, good], on_error="skip", max_skipped=0.5)
    assert [record.path for record, _ in found] == ["one_frame"]
    assert skipped.status == "unreadable" and type(error).__name__ in str(skipped)
    with pytest.raises(VideoError, match="it cannot be read .* or pass `--on-error skip`"):
        index_videos([bad, good])
    audit = audit_videos(Manifest((bad, good), ("a", "b"), tmp_path))
    assert audit.counts["unreadable"] == 1 and audit.counts["ok"] == 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_edit_list_shows_the_frames_that_it_names(files, decoder):
    assert hostile.numbers(read_frames(files["edit_list"], decoder=decoder)) == list(range(20, 60))
    assert probe(files["edit_list"], decoder=decoder).claimed_frames == 60


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_rotated_video_is_turned(files, decoder):
    frames = read_frames(files["rotated"], decoder=decoder)
    turned_back = [np.rot90(frame) for frame in frames]  # the file says: turn clockwise
    assert hostile.numbers(turned_back) == list(range(60))


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_variable_rate_moves_no_frame(files, decoder):
    indices = [59, 0, 31, 31, 7]
    assert hostile.numbers(read_frames(files["variable_rate"], indices, decoder=decoder)) == indices


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_frames_before_a_cut_can_be_read_and_the_cut_is_named_at_the_end(files, decoder):
    path = files["half_an_mp4"]
    assert read_frames(path, [5, 0], decoder=decoder).shape == (2, 48, 64, 3)
    frames = iter_frames(path, decoder=decoder)
    assert sum(1 for _ in zip(frames, range(10), strict=False)) == 10
    with pytest.raises(UserError, match="of 60 claimed frames decode"):
        list(frames)
