import hashlib
import json
import os
import pickle
import signal

import numpy as np
import pytest
from typer.testing import CliRunner

import hostile
import trees
from keras_actrec.cli.main import app
from keras_actrec.data import (
    Manifest,
    Record,
    audit_videos,
    index_videos,
    probe,
    read_audit,
    read_dataset,
    read_manifest,
)
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

AUDIT = """
import os, signal, sys
from pathlib import Path
import keras_actrec.data.audit as audit
from keras_actrec.data import audit_videos, read_manifest

root, out, log, most = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
probe = audit.probe

def logged(path):
    with open(log, "a") as file:
        file.write(f"{path}\\n")
    return probe(path)

def progress(done, total):
    if done == most:
        os.kill(os.getpid(), signal.SIGKILL)

audit.probe = logged
audit_videos(read_manifest(root), out=out, workers=3, progress=progress)
"""


@pytest.fixture
def manifest(tmp_path):
    """A good video, a frame folder, a cut video and an empty file."""
    hostile.write(tmp_path / "good.mp4")
    hostile.images(tmp_path / "frames")
    hostile.half_an_avi(tmp_path / "half.avi")
    hostile.zero_bytes(tmp_path / "zero.mp4")
    names = "good.mp4", "frames", "half.avi", "zero.mp4"
    records = tuple(Record(tmp_path / name, name, place % 2) for place, name in enumerate(names))
    return Manifest(records, ("a", "b"), tmp_path, official={"train": 4, "test": 2})


def test_the_file_says_what_every_video_holds(manifest, tmp_path):
    audit_videos(manifest, out=tmp_path / "audit.json")
    found = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert (found["found"], found["official"]) == (4, 6)
    good, frames, half, zero = found["files"]
    assert good == {
        "path": "good.mp4",
        "status": "ok",
        "frames": 60,
        "claimed_frames": 60,
        "fps": 10.0,
        "width": 64,
        "height": 48,
        "sha256": hashlib.sha256((tmp_path / "good.mp4").read_bytes()).hexdigest(),
    }
    assert (frames["path"], frames["status"], frames["frames"], frames["fps"]) == ("frames", "ok", 12, 0)
    assert (half["status"], half["claimed_frames"], half["width"]) == ("truncated", 60, 0)
    assert 20 < half["frames"] < 40
    assert zero["status"] == "unreadable" and zero["sha256"] == hashlib.sha256(b"").hexdigest()
    assert [path.name for path in tmp_path.iterdir() if "journal" in path.name or "part" in path.name] == []


def test_without_a_file_nothing_is_written(manifest, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert audit_videos(manifest).counts == {"ok": 2, "truncated": 1, "unreadable": 1, "empty": 0}
    assert sorted(tmp_path.iterdir()) == before


def test_what_was_written_is_read_back(manifest, tmp_path):
    audit = audit_videos(manifest, out=tmp_path / "audit.json")
    assert read_audit(tmp_path / "audit.json") == audit


@pytest.fixture
def probed(monkeypatch):
    """The names of the files that are read through from here on."""
    seen = []

    def seeing(path):
        seen.append(path.name)
        return probe(path)

    monkeypatch.setattr("keras_actrec.data.audit.probe", seeing)
    monkeypatch.setattr("keras_actrec.data.decode.probe", seeing)
    return seen


def test_a_second_call_reads_only_what_has_changed(manifest, tmp_path, probed):
    out = tmp_path / "audit.json"
    audit_videos(manifest, out=out)
    first = out.read_bytes()
    assert sorted(probed) == ["frames", "good.mp4", "half.avi", "zero.mp4"]
    probed.clear()
    seen = []
    audit_videos(manifest, out=out, progress=lambda *p: seen.append(p))
    assert probed == [] and seen == [(4, 4)] and out.read_bytes() == first

    about = (tmp_path / "good.mp4").stat()  # the same bytes at another time
    os.utime(tmp_path / "good.mp4", ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    hostile.write(tmp_path / "half.avi", codec="MJPG")
    (tmp_path / "frames" / "00012.jpg").unlink()
    audit = audit_videos(manifest, out=out)
    assert sorted(probed) == ["frames", "good.mp4", "half.avi"]
    assert audit.files["half.avi"]["status"] == "ok" and audit.files["frames"]["frames"] == 11

    probed.clear()
    hostile.cv2.imwrite(str(tmp_path / "frames" / "00003.jpg"), hostile.barcode(77))
    new = audit_videos(manifest, out=out)
    assert probed == ["frames"] and new.files["frames"]["sha256"] != audit.files["frames"]["sha256"]


def test_verifying_reads_all_again(manifest, tmp_path, probed):
    out = tmp_path / "audit.json"
    first = audit_videos(manifest, out=out)
    probed.clear()
    assert audit_videos(manifest, out=out, verify=True) == first and len(probed) == 4


def test_what_could_not_be_read_is_tried_again(tmp_path, probed):
    manifest = Manifest((Record(tmp_path / "late.mp4", "late.mp4", 0),), ("a", "b"), tmp_path)
    assert audit_videos(manifest, out=tmp_path / "audit.json").counts["unreadable"] == 1
    hostile.write(tmp_path / "late.mp4")
    assert audit_videos(manifest, out=tmp_path / "audit.json").counts["ok"] == 1


def test_the_bytes_depend_on_neither_order_nor_workers(manifest, tmp_path):
    for workers in (1, 4):
        audit_videos(manifest, out=tmp_path / f"{workers}.json", workers=workers)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "4.json").read_bytes()


@pytest.fixture
def folder(tmp_path):
    """Forty videos in two class folders."""
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(20):
            frames = [hostile.barcode(frame) for frame in range(5 + number)]
            hostile.write(tmp_path / "set" / label / f"{number:02d}.mp4", frames)
    return tmp_path / "set"


def test_killed_it_goes_on_and_redoes_at_most_one_file_a_worker(folder, tmp_path, run_python):
    (tmp_path / "audit.py").write_text(AUDIT, encoding="utf-8")
    out, log = tmp_path / "audit.json", tmp_path / "log"
    killed = run_python(tmp_path / "audit.py", folder, out, log, 15)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists() and len(log.read_text().split()) >= 15
    done = run_python(tmp_path / "audit.py", folder, out, log, -1)
    assert done.returncode == 0, done.stderr
    reads = log.read_text().split()
    assert len(set(reads)) == 40 and len(reads) <= 40 + 3
    audit_videos(read_manifest(folder), out=tmp_path / "whole.json")
    assert out.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not (tmp_path / ".journal-audit.json").exists()


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_line_that_was_cut_off_costs_one_file(folder, tmp_path, probed, cut):
    def stop(done, total):
        if done == 10:
            raise KeyboardInterrupt

    manifest, out, journal = read_manifest(folder), tmp_path / "audit.json", tmp_path / ".journal-audit.json"
    with pytest.raises(KeyboardInterrupt):
        audit_videos(manifest, out=out, workers=1, progress=stop)
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) - cut])
    known = whole.count(b"{") - (cut > 1)  # without its line end a line still counts
    probed.clear()
    audit_videos(manifest, out=out, workers=1)
    assert known >= 9 and len(probed) == 40 - known
    audit_videos(manifest, out=tmp_path / "whole.json")
    assert out.read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_the_index_takes_the_audit_and_reads_what_has_changed_since(manifest, tmp_path, probed):
    audit = audit_videos(manifest, out=tmp_path / "audit.json")
    plain = index_videos(manifest.records, on_error="skip", max_skipped=1)
    probed.clear()
    good, bad = index_videos(manifest.records, on_error="skip", max_skipped=1, audit=audit)
    assert probed == [] and good == plain[0] and [str(e) for e in bad] == [str(e) for e in plain[1]]

    hostile.write(tmp_path / "zero.mp4")
    new = Record(tmp_path / "audit.json", "unknown.mp4", 0)
    good, bad = index_videos([*manifest.records, new], on_error="skip", max_skipped=1, audit=audit)
    assert sorted(probed) == ["audit.json", "zero.mp4"]
    assert [record.path for record, _ in good] == ["good.mp4", "frames", "zero.mp4"]


def test_sequences_of_one_file_are_one_file(tmp_path, probed):
    hostile.write(tmp_path / "clip.mp4")
    spans = [(0, 10), (10, 60), (20, None), (None, None), (50, 80)]
    records = [Record(tmp_path / "clip.mp4", "clip.mp4", 0, start=start, stop=stop) for start, stop in spans]
    audit = audit_videos(Manifest(tuple(records), ("a", "b"), tmp_path))
    assert probed == ["clip.mp4"] and (audit.found, len(audit.files)) == (5, 1)
    for given in (None, audit):
        good, bad = index_videos(records, on_error="skip", max_skipped=0.2, audit=given)
        assert [(info.frames, info.claimed_frames) for _, info in good] == [
            (10, 10),
            (50, 50),
            (40, 40),
            (60, 60),
        ]
        (error,) = bad  # a third of it is there
        assert error.status == "truncated" and "60 frames decode, the sequence is from frame 50 to 80" in str(
            error
        )
    assert probed == ["clip.mp4", "clip.mp4"]


def test_a_new_poses_toml_makes_files_of_joints_read_again(tmp_path):
    values = np.random.default_rng(0).random((9, 17, 3))  # z or a score: who knows
    np.save(tmp_path / "a.npy", values)
    manifest = Manifest((Record(tmp_path / "a.npy", "a.npy", 0),), ("a",), tmp_path, dataset="poses")
    out = tmp_path / "audit.json"
    assert audit_videos(manifest, out=out).counts["unreadable"] == 1
    for text, layout in (('channels = "xys"', None), ('channels = "xys"\nlayout = "coco17"', "coco17")):
        (tmp_path / "poses.toml").write_text(text)
        os.utime(tmp_path / "poses.toml", ns=(0, len(text)))
        assert read_audit(out).look_up(manifest.records[0]) is None
        audit = audit_videos(manifest, out=out)
        assert audit.counts["ok"] == 1 and audit.details["a.npy"]["layout"] == layout
        assert audit.look_up(manifest.records[0]).frames == 9
    (tmp_path / "poses.toml").unlink()
    assert audit_videos(manifest, out=out).counts["unreadable"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(found="4"),
        lambda values: values.update(official=[101]),
        lambda values: values.update(classes={"a": "many"}),
        lambda values: values.update(details=[]),
        lambda values: values["details"].pop("good.mp4"),
        lambda values: values["details"]["good.mp4"].update(changed="now"),
        lambda values: values["details"]["zero.mp4"].pop("reason"),
        lambda values: values["files"][0].update(status=["ok"]),
        lambda values: values["files"][0].update(status="fine"),
        lambda values: values["files"][0].update(frames=-1),
        lambda values: values["files"][0].update(fps=float("nan")),
        lambda values: values["files"][0].update(path=7),
        lambda values: values["files"][0].pop("sha256"),
    ],
)
def test_an_audit_with_a_value_of_another_type_is_refused(manifest, tmp_path, change):
    path = tmp_path / "audit.json"
    audit_videos(manifest, out=path)
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(UserError, match="audit.json: not an audit; write it with"):
        read_audit(path)


def test_a_file_of_many_sequences_is_hashed_once(tmp_path, monkeypatch):
    values = {"keypoint": np.ones((1, 4, 17, 2), "float32"), "label": 0}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([{"frame_dir": f"S{n}", **values} for n in range(6)]))
    hashed = []
    monkeypatch.setattr("keras_actrec.data.audit.content_hash", lambda file: hashed.append(file) or "0")
    for times in (1, 2):
        assert audit_videos(read_dataset("poses", tmp_path / "a.pkl"), workers=1).counts["ok"] == 6
        assert len(hashed) == times  # each audit reads it anew


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"found": 1, "official": null, "files": [{}]}'])
def test_a_file_that_is_no_audit_is_refused_and_kept(manifest, tmp_path, text):
    path = tmp_path / "audit.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="audit.json: not an audit; write it with"):
        read_audit(path)
    with pytest.raises(UserError, match="audit.json: not an audit"):
        audit_videos(manifest, out=path)
    assert path.read_text(encoding="utf-8") == text


def test_bad_arguments_are_named(manifest, tmp_path):
    with pytest.raises(UserError, match="no.json: not found; write it with keras-actrec audit --json"):
        read_audit(tmp_path / "no.json")
    with pytest.raises(
        UserError, match="`workers` must be a whole number from 1 to 1024. Received: workers=0"
    ):
        audit_videos(manifest, workers=0)


@pytest.mark.parametrize(
    ("dataset", "count", "official"),
    [("northwestern_ucla", 160, 1484), ("hmdb51", 18, 6766), ("jhmdb", 18, 928), ("utkinect", 40, 199)],
)
def test_the_command_reads_all_of_a_set_whether_or_not_it_can_be_split(tmp_path, dataset, count, official):
    (tmp_path / "set").mkdir()
    getattr(trees, dataset)(tmp_path / "set")  # Northwestern-UCLA without view 3, which its split needs
    arguments = ["audit", "--data", tmp_path / "set", "--dataset", dataset, "--json", tmp_path / "audit.json"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert f"{count} of {official} videos found; {count} files: {count} ok, 0 truncated" in result.stdout
    assert read_audit(tmp_path / "audit.json").found == count


def test_the_command_counts_clips_a_class_and_names_what_it_passes_over(tmp_path):
    for name in ("a/1.mp4", "a/2.mp4", "b/3.mp4"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        hostile.one_frame(tmp_path / "set" / name)
    (tmp_path / "set" / "c").mkdir()
    for name in ("c/4.rmvb", "c/5.rmvb"):
        (tmp_path / "set" / name).write_bytes(b"no suffix that is taken")
    out = tmp_path / "audit.json"

    def audit():
        return CliRunner().invoke(app, ["audit", "--data", str(tmp_path / "set"), "--json", str(out)])

    result = audit()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[:3] == ["2 files passed over: 2 .rmvb", "nothing to read in 'c'", "clips a class: a 2, b 1"]
    assert read_audit(out).classes == {"a": 2, "b": 1}
    hostile.zero_bytes(tmp_path / "set" / "b" / "3.mp4")
    result = audit()
    assert result.exit_code == 1 and "clips a class: a 2, b 0" in result.stdout
