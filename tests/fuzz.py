"""Looks for files that a parser of keras_actrec does not stand: `make fuzz`, or this program with names.

Hypothesis changes small valid files: bits, numbers, cuts, parts of one in another, parts of archives with the
checksums put right, values in JSON. A process of its own reads each. What falls is one that ends in another
error than our own, takes more than 1 GB or more than 5 s of a core, or ends the process; it is made as small
as can be and written below `--out`. Put it into `tests/corpus/PARSER/`, where `make test` reads it, and mend
the parser.

A parser is a function that makes valid files in a folder, and one that reads one of them: see `PARSERS`.
"""

import argparse
import collections
import contextlib
import copy
import csv
import functools
import hashlib
import importlib.util
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import cv2
import keras
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import hostile
import keras_actrec
import trees
from keras_actrec import data, training, tuning, zoo
from keras_actrec.checkpoints import identify_checkpoint, load_weights, read_torch
from keras_actrec.data._mp4 import shown_share
from keras_actrec.data._shards import opened
from keras_actrec.data._whole import is_whole
from keras_actrec.data.datasets import read_persons
from keras_actrec.data.persons import Persons
from keras_actrec.errors import UserError
from keras_actrec.evaluation import Evaluation, read_results, read_scores, result_row, write_scores
from keras_actrec.evaluation.results import describe_run
from keras_actrec.recognizer import Recognizer
from keras_actrec.training.folder import RunFolder
from keras_actrec.training.resume import Checkpoint
from keras_actrec.tuning.report import write_report
from keras_actrec.tuning.results import check_any_completed
from keras_actrec.tuning.study_run import StudyRun

MEMORY, SECONDS = 2**30, 5
HANGS = 60  # seconds of the clock after which a process is ended
CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Parser:
    """What is fuzzed: `make(folder)` writes valid files and returns their paths, `read(path)` reads one."""

    make: object
    read: object
    tokens: tuple[bytes, ...] = ()  # what means something in such files


def torch_files(folder):
    import torch

    state = {"fc.weight": torch.arange(6.0).reshape(2, 3).T, "fc.bias": torch.ones(3, dtype=torch.bfloat16)}
    names = {"a.pth": state, "b.pth": {"epoch": 3, "model": state, "args": {"lr": [0.1], "x": None}}}
    for name, value in names.items():
        torch.save(value, folder / name)
        torch.save(value, folder / f"old-{name}", _use_new_zipfile_serialization=False)
    return [folder / f"{old}{name}" for name in names for old in ("", "old-")]


def read_torch_file(path):
    read_torch(path)
    with contextlib.suppress(UserError):  # it is of another network
        identify_checkpoint(path)


def small_model():
    return zoo.build("hman", 3, input_shape=(None, 3, 3, 4), units=4, num_layers=2)


def dense_model():
    steps = keras.Input((None, 6), name="skeleton")
    return keras.Model(
        steps, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(steps)), name="dense"
    )


def keras_files(folder):
    clip = keras.Input((None, 8, 8, 3), name="clip")
    layer = keras_actrec.layers.EleAttGRU(2)
    answer = keras.layers.Dense(3)(layer(keras.layers.TimeDistributed(keras.layers.Flatten())(clip)))
    look = data.ClipPreprocessor(data.Sampling(4), data.ClipTransform(8))
    Recognizer(keras.Model(clip, answer, name="small"), ("a", "b", "c"), look).save(folder / "small.keras")
    return [folder / "small.keras"]


def weight_files(folder):
    small_model().save(folder / "small.keras")
    small_model().save_weights(folder / "small.weights.h5")
    return [folder / "small.keras", folder / "small.weights.h5"]


@functools.cache
def model_to_fill():
    return small_model()


@functools.cache
def model_to_train():
    model = dense_model()
    model.compile("adam", "mse")
    return model


def checkpoints(folder):
    run = Checkpoint(folder, 0)
    run.set_model(model_to_train())
    model_to_train().optimizer.build(model_to_train().trainable_variables)
    run.on_epoch_end(0, {"loss": 1.0})
    return [run.file]


def tables(folder):
    for name in ("a", "b"):
        (folder / f"{name}.mp4").write_bytes(b"0")
    (folder / "manifest.csv").write_text("path,label,split,group\na.mp4,run,train,x\nb.mp4,sit,test,y\n")
    (folder / "names.csv").write_text('path,label\n"a.mp4",1\nb.mp4,10\n', encoding="utf-8-sig")
    return [folder / "manifest.csv", folder / "names.csv", *results(folder)]


def parquet_files(folder):
    from pyarrow import Table, parquet

    for name in ("a", "b"):
        (folder / f"{name}.mp4").write_bytes(b"0")
    columns = {"path": ["a.mp4", "b.mp4"], "label": ["run", "sit"], "start": [1, None], "more": [[1], []]}
    parquet.write_table(Table.from_pydict(columns), folder / "a.parquet")
    del columns["more"]
    parquet.write_table(
        Table.from_pydict(columns), folder / "b.parquet", compression="none", use_dictionary=False
    )
    return [folder / "a.parquet", folder / "b.parquet"]


def tar_files(folder):
    member, files = hostile.member, {}
    files["samples"] = member("1.mp4") + member("1.cls", b"run") + member("2.mp4") + member("2.txt", b"sit")
    about = b'{"label": "run", "split": "test", "group": 3, "start": 1, "stop": 9}'
    files["said"] = member("1.mp4") + member("1.json", about)
    files["pax"] = hostile.pax([b"18 path=run/x.mp4\n", b"22 mtime=1700000000.5\n"])
    files["long"] = member("deep/" * 30 + "a.mp4") + member("folder", b"", type=b"5") + member("./b//c.mp4")
    for name, content in files.items():
        (folder / f"{name}.tar").write_bytes(content + hostile.END)
    return sorted(folder.glob("*.tar"))


def read_tar_file(path):
    data.expand_sources(path)
    for record in data.read_manifest(path).records:
        with opened(record.file) as file:
            file.read()


def results(folder):
    from test_evaluation_results import ROW

    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerow(ROW)
    return [folder / "results.csv"]


def read_table(path):
    if path.name == "results.csv":
        read_results(path)
    else:
        data.read_manifest(path)
        data.expand_sources(path, ["*.mp4"])


def json_files(folder):
    from test_evaluation_results import begun, write

    hostile.one_frame(folder / "clip.mp4")
    record = data.Record(folder / "clip.mp4", "clip.mp4", 0)
    data.audit_videos(data.Manifest((record,), ("a",), folder), out=folder / "audit.json")
    write(folder / "ended")
    begun(folder / "begun")
    (folder / "begun/checkpoint.npz").touch()
    data.write_pose(folder / "joints.json", np.ones((2, 1, 3, 2)), scores=np.ones((2, 1, 3)), fps=30)
    joints = {"file_name": "a01_s01_e00_v01", "skeletons": np.ones((2, 20, 3)).tolist()}
    (folder / "a01_s01_e00_v01.json").write_text(json.dumps(joints))
    names = ("audit.json", "ended/run.json", "ended/test.json", "begun/run.json", "joints.json")
    return [folder / name for name in (*names, "begun/history.csv", "a01_s01_e00_v01.json")]


def read_json_file(path):
    if path.name == "audit.json":
        audit = data.read_audit(path)
        audit.look_up(data.Record(path.with_name("clip.mp4"), "clip.mp4", 0))
        audit.counts, audit.problems(data.Manifest((), (), path.parent))  # noqa: B018
    elif path.name == "joints.json":
        data.read_pose(path)
    elif path.name.startswith("a01"):
        data.read_skeleton("northwestern_ucla", data.Record(path, path.name, 0))
    else:
        describe_run(path.parent)
        if path.parent.name == "ended":
            result_row(path.parent)
        run = RunFolder.open(path.parent)
        with contextlib.suppress(UserError):  # it is another
            run.check_recipe({"train": {"seed": 3}})


def array_files(folder):
    data.write_pose(folder / "joints.npz", np.ones((2, 1, 3, 2)), scores=np.ones((2, 1, 3)), fps=30)
    np.savez(folder / "features.npz", features=np.ones((3, 4), "float32"))
    np.save(folder / "features.npy", np.ones((3, 2, 2, 4), "float16"))
    evaluation = Evaluation(
        name="m",
        class_names=("a", "b"),
        records=tuple(data.Record(Path(name), name, 0) for name in "xy"),
        labels=np.array([0, 1]),
        scores=np.full((2, 2), 0.5),
        skipped=(),
        protocol="1 clip",
        part="test",
    )
    write_scores(evaluation, folder / "scores.npz")
    steps = {f"X_{part}": np.ones((2, 3, 6)) for part in ("train", "test")}
    labels = {f"y_{part}": np.array([0, 1]) for part in ("train", "test")}
    np.savez(folder / "basic_motions.npz", **steps, **labels, class_names=np.array(["a", "b"]))
    names = ("joints.npz", "features.npz", "features.npy", "scores.npz", "basic_motions.npz")
    return [folder / name for name in names]


def read_array_file(path):
    if path.name == "joints.npz":
        data.read_pose(path)
    elif path.name == "scores.npz":
        read_scores(path)
    elif path.name == "basic_motions.npz":
        record = data.read_dataset("basic_motions", path.parent).records[0]
        data.read_skeleton("basic_motions", record)
    else:
        found = data.open_features(path)
        found.check()
        found.read([0, found.frames - 1, 0])


def pose_files(folder):
    import test_data_estimators as tools

    listed = {
        "openpose.json": {"version": 1.3, "people": [{"pose_keypoints_2d": tools.flat(tools.BODY_25, 0)}]},
        "alphapose.json": tools.alphapose(tools.COCO, int)[:4],
        "mmpose.json": {
            "meta_info": {"keypoint_id2name": {}},
            "instance_info": tools.mmpose(tools.COCO)["instance_info"][:2],
        },
    }
    for name, content in listed.items():
        (folder / name).write_text(json.dumps(content))
    rows = tools.landmarks(3)[:2].reshape(2, -1).tolist()
    header = [f"{axis}{number}" for number in range(1, 34) for axis in "xyz"]
    (folder / "mediapipe.csv").write_text("\n".join(",".join(map(str, row)) for row in (header, *rows)))
    np.save(folder / "arrays.npy", tools.landmarks()[:2])
    annotated = tools.a_set({"train": ["S000"], "val": ["S001"]})
    annotated["annotations"] = annotated["annotations"][:2]
    for protocol in (2, 4, 5):
        (folder / f"pyskl{protocol}.pkl").write_bytes(pickle.dumps(annotated, protocol))
    return sorted(folder.glob("*.*"))


def read_pose_file(path):
    if path.suffix == ".pkl":
        found = data.read_dataset("poses", path).records
        pose = read_persons("poses", found[0])
    else:
        pose = data.read_pose(path)
    Persons(bodies=2, min_score=0.1, gap=3, scores=True)(pose)


def seq_files(folder):
    (folder / "clip.seq").write_bytes(trees._seq(trees.frames_of(0)[:3]))
    raw = bytearray(trees._seq([])) + bytes(3 * (32 * 32 * 3 + 8))

    struct.pack_into("<9I", raw, 548, 32, 32, 24, 8, 32 * 32 * 3, 200, 3, 0, 32 * 32 * 3 + 8)
    (folder / "raw.seq").write_bytes(raw)
    return [folder / "clip.seq", folder / "raw.seq"]


def read_video(path):
    for decoder in ("opencv", "pyav") if importlib.util.find_spec("av") else ("opencv",):
        with contextlib.suppress(UserError):
            info = data.probe(path, decoder=decoder)
            data.read_frames(path, [info.frames - 1], decoder=decoder)
    shown_share(path)
    is_whole(path)
    data.probe(path)


def skeleton_texts(folder):
    joint = "0.1 0.2 0.3 0 0 0 0 0 0 0 0 2"
    body = ["1", "72057594037931101 0 1 1 0 0 0 -0.1 0.2 2", "25", *[joint] * 25]
    trees.lines(folder / "ntu.skeleton", "2", *body, *body)
    trees.lines(folder / "msr.txt", *["0.1 0.2 0.3 1"] * 40)
    trees.lines(folder / "utkinect.txt", *[f"{number} {' '.join(['0.5'] * 60)}" for number in (1, 2)])
    return [folder / name for name in ("ntu.skeleton", "msr.txt", "utkinect.txt")]


def read_skeleton_text(path):
    name = {"ntu": "ntu_rgbd", "msr": "msr_action3d", "utkinect": "utkinect"}[path.stem]
    data.read_skeleton(name, data.Record(path, path.name, 0))


def mat_files(folder):
    from scipy.io import savemat

    for compress in (False, True):
        name = "packed" if compress else "plain"
        savemat(folder / f"sysu-{name}.mat", {"SW": np.ones((20, 3, 2))}, do_compression=compress)
        savemat(folder / f"jhmdb-{name}.mat", {"pos_img": np.ones((2, 15, 2))}, do_compression=compress)
    savemat(folder / "sysu-old.mat", {"SW": np.ones((20, 3))}, format="4")
    return sorted(folder.glob("*.mat"))


def read_mat_file(path):
    name = {"sysu": "sysu_3d_hoi", "jhmdb": "jhmdb"}[path.stem.partition("-")[0]]
    data.read_skeleton(name, data.Record(path, path.name, 0))


def toml_files(folder):
    for name, source in (
        ("hman", training.find_recipe("hman/synthetic")),
        ("own", training.find_recipe("hman/own")),
    ):
        (folder / f"{name}.toml").write_bytes(Path(source).read_bytes())
    for place, source in enumerate(list(tuning.list_studies().values())[:2]):
        (folder / f"study{place}.toml").write_bytes(Path(source).read_bytes())
    return sorted(folder.glob("*.toml"))


def read_toml_file(path):
    (tuning.read_study if path.name.startswith("study") else training.read_recipe)(path)


CLIP = data.ClipTransform(16, crop="none")


def cache_files(folder):
    hostile.write(folder / "clip.avi", [hostile.barcode(number) for number in range(4)], "MJPG")
    read_cache(folder / "clip.avi")
    return sorted(path for path in (folder / "cache").rglob("*.*") if path.suffix in (".json", ".npy"))


def read_cache(path):
    folder = next(above for above in path.parents if (above / "clip.avi").exists())
    record = data.Record(folder / "clip.avi", "clip.avi", 0)
    pairs, _ = data.index_videos([record])
    ((_, video),) = data.cache_frames(pairs, CLIP, folder / "cache")
    video.read([0, video.frames - 1])


def trial_files(folder):
    """A study of two trials, one of which has failed."""
    recipe = {"model": {"name": "stacked_rnn"}, "data": {"dataset": "poses"}, "skeleton": {"frames": 2}}
    (folder / "recipe.toml").write_text(training.parse_recipe(recipe).to_toml())
    study = tuning.parse_study(
        {
            "study": {"name": "s", "title": "s", "recipe": str(folder / "recipe.toml"), "max_trials": 2},
            "space": {"model.units": {"values": [2, 3]}},
            "table": {"row": "model.units", "column": "accuracy", "paper": {"2": 0.5}},
        }
    )
    (folder / "study.toml").write_text(study.to_toml())
    record = {"backend": "x", "versions": {"x": "1"}, "commit": None, "machine": "m"}
    record |= {"data": {"found": 3, "official": None, "parts": {"train": 1, "validation": 1, "test": 1}}}
    done = {"status": "COMPLETED", "reason": "", "protocol": "1 clip"}
    done |= {
        "metrics": {"val_accuracy": 0.5, "test_top1": 0.5, "test_videos": 10},
        "epochs": 1,
        "parameters": 9,
        "seconds": 1.5,
    }
    for name, result in (("0", done), ("1", {"status": "FAILED", "reason": "no luck"})):
        trial = folder / "trials" / name
        (trial / "run").mkdir(parents=True)
        about = {"values": {"model.units": 2}, "overrides": ["model.units=2"]}
        for file, values in (("trial", about), ("result", result), ("run/run", record)):
            (trial / f"{file}.json").write_text(json.dumps(values))
        (trial / "recipe.toml").write_text("")
    files = [folder / f"trials/{name}.json" for name in ("0/trial", "0/result", "0/run/run", "1/result")]
    return [*files, *oracle(folder)]


def oracle(folder):
    """The state of the search, where KerasTuner is installed."""
    if not importlib.util.find_spec("keras_tuner"):
        return []
    from keras_actrec.tuning._search import Tuner, known_warnings

    with known_warnings():
        tuner = Tuner(StudyRun(tuning.read_study(folder / "study.toml"), folder, folder))
        trial = tuner.oracle.create_trial("tuner0")
        tuner.oracle.update_trial(trial.trial_id, {"val_accuracy": 0.5})
        trial.status = "COMPLETED"
        tuner.oracle.end_trial(trial)
        tuner.oracle.create_trial("tuner0")
    return [folder / "oracle.json"]


def read_trial(path):
    folder = next(above for above in path.parents if (above / "study.toml").exists())
    study = tuning.read_study(folder / "study.toml")
    if path.name == "oracle.json":
        from keras_actrec.tuning._search import Tuner, known_warnings

        with known_warnings():
            Tuner(StudyRun(study, folder, folder)).oracle.create_trial("tuner0")
    else:
        write_report(study, folder)
        check_any_completed(folder)


def containers(folder):
    frames = [cv2.resize(hostile.barcode(number), (32, 16)) for number in range(6)]
    for name, codec in (("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "MJPG"), ("a.mpg", "MPG1")):
        with contextlib.suppress(AssertionError):  # a codec that this OpenCV does not have
            hostile.write(folder / name, frames, codec)
    if importlib.util.find_spec("av"):
        import av

        for name, codec in (("a.flv", "flv"), ("a.wmv", "wmv2"), ("a.ts", "mpeg2video"), ("a.gif", "gif")):
            with av.open(str(folder / name), "w") as file:
                stream = file.add_stream(codec, 10)
                stream.width, stream.height = 32, 16
                stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
                for frame in frames:
                    file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
                file.mux(stream.encode())
    return sorted(path for path in folder.glob("a.*") if path.stat().st_size)


NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"99999999999999999999",
    b"4294967296",
    b"[" * 3000,
    b"{}",
    b'""',
    b"null",
)
PARSERS = {
    "torch": Parser(
        torch_files, read_torch_file, (b"h\x00", b"\x85", b"r\xff\xff\xff\x7f", b"(", b"e", b"s", b"R")
    ),
    "keras": Parser(keras_files, keras_actrec.load, NUMBERS),
    "weights": Parser(weight_files, lambda path: load_weights(model_to_fill(), path)),
    "checkpoint": Parser(
        checkpoints, lambda path: Checkpoint(path.parent, 0).restore(model_to_train()), NUMBERS
    ),
    "csv": Parser(tables, read_table, (b",", b'"', b"\n", b"\0", b"../", b"x" * 200_000, b"\xff", b"~")),
    "parquet": Parser(parquet_files, read_table, (*NUMBERS, b"PAR1")),
    "tar": Parser(
        tar_files,
        read_tar_file,
        (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000000001", b"x", b"g", b"L", b"S", b"../", bytes(512)),
    ),
    "json": Parser(json_files, read_json_file, NUMBERS),
    "npz": Parser(
        array_files,
        read_array_file,
        (b"99999999999", b"-1", b"|O", b"<U9999999", b">f8", b"True", b"(" * 200),
    ),
    "poses": Parser(
        pose_files,
        read_pose_file,
        (*NUMBERS, b",", b"h\x00", b"\x85", b"r\xff\xff\xff\x7f", b"(", b"e", b"s", b"R", b"b", b"O8", b"f8"),
    ),
    "seq": Parser(seq_files, read_video),
    "skeleton": Parser(skeleton_texts, read_skeleton_text, (*NUMBERS[:6], b"1" * 5000, b"inf", b"\n", b" ")),
    "mat": Parser(mat_files, read_mat_file),
    "toml": Parser(
        toml_files,
        read_toml_file,
        (*NUMBERS, b"inf", b"1979-05-27", b"[a]\n", b"a.b.c=1\n", b"'", b"a." * 2000),
    ),
    "cache": Parser(cache_files, read_cache, NUMBERS),
    "trials": Parser(trial_files, read_trial, NUMBERS),
    "video": Parser(containers, read_video, (b"moov", b"trak", b"elst", b"mdat", b"ffconcat version 1.0\n")),
}


# How files are changed.

ODD = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
VALUES = (None, True, 0, -1, 2**31, 10**30, 1e308, float("nan"), "", "x" * 300, "a/b", [], [[]], {}, {"a": 1})


@st.composite
def changed(draw, content, others, tokens):
    """Bytes with some of them changed."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(("bit", "number", "byte", "cut", "remove", "repeat", "splice", "token")))
        if kind == "bit" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and place < len(content):
            content[place] = draw(st.integers(0, 255))
        elif kind == "number":
            width = draw(st.sampled_from((1, 2, 4, 8)))
            number = draw(st.sampled_from(ODD)) % 2 ** (8 * width)
            content[place : place + width] = number.to_bytes(width, draw(st.sampled_from(("little", "big"))))
        elif kind == "cut":
            del content[place:]
        elif kind == "remove":
            del content[place : place + draw(st.integers(1, 64))]
        elif kind == "repeat":
            piece = content[place : place + draw(st.integers(1, 64))]
            content[place:place] = piece * draw(st.sampled_from((1, 2, 1000)))
        elif kind == "splice":
            other = draw(st.sampled_from(others))
            start = draw(st.integers(0, len(other)))
            content[place:place] = other[start : start + draw(st.sampled_from((4, 64, 1 << 16)))]
        elif kind == "token" and tokens:
            content[place : place + draw(st.integers(0, 4))] = draw(st.sampled_from(tokens))
    return bytes(content)


@st.composite
def changed_json(draw, text):
    """JSON with one value, or key, changed."""
    root = [json.loads(text)]
    for _ in range(draw(st.integers(1, 2))):
        places = [
            (values, key)
            for values in below(root)
            for key in (values if isinstance(values, dict) else range(len(values)))
        ]
        values, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(("value", "value", "other", "number", "remove", "wrap")))
        if kind == "value":
            values[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif kind == "other":
            other, at = draw(st.sampled_from(places))
            values[key] = copy.deepcopy(other[at])
        elif kind == "number":
            values[key] = draw(st.integers(-3, 2**34))
        elif kind == "wrap":
            values[key] = [values[key]]
        elif values is not root:
            del values[key]
    return json.dumps(root[0]).encode()


def below(values):
    """All lists and dicts in nested ones."""
    if isinstance(values, (list, dict)):
        if values:
            yield values
        for each in values.values() if isinstance(values, dict) else values:
            yield from below(each)


@st.composite
def changed_file(draw, content, others, tokens):
    """A file with something in it changed, an archive with its checksums put right."""
    if content[:2] == b"PK" and draw(st.integers(0, 3)):
        parts = unpacked(content)
        name = draw(st.sampled_from(sorted(parts)))
        inside = [*parts.values(), *others]
        parts[name] = draw(changed_file(parts[name], inside, tokens))
        if not draw(st.integers(0, 7)):
            parts[draw(st.sampled_from(("other", name + "x", name.replace("/", "//"))))] = parts.pop(name)
        return packed(
            parts, draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        )
    if content[:1] in (b"{", b"[") and draw(st.integers(0, 3)):
        with contextlib.suppress(ValueError):
            return draw(changed_json(content))
    return draw(changed(content, others, tokens))


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts, how):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return held.getvalue()


# How they are read, and what falls.


def fall(read, path):
    """What a parser did with a file that it must not do: a line, empty where all is well."""
    started = time.process_time()
    error = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except UserError as raised:
        error = raised
        if not str(raised).isprintable():
            return f"a message of several lines or with control characters: {str(raised)[:200]!r}"
        if len(str(raised)) > 1500:
            return f"a message of {len(str(raised))} characters"
    except Exception as raised:
        return f"{type(raised).__name__} at {place_of(raised)}: {str(raised)[:200]!r}"
    while error is not None:
        if isinstance(error, MemoryError):
            return f"memory at {place_of(error)}"
        error = error.__cause__ or error.__context__
    taken = time.process_time() - started
    return f"time: {taken:.0f} s" if taken > SECONDS else ""


def place_of(error):
    """The last line of keras_actrec in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "keras_actrec" in frame.filename] or frames[-1:]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"


def work(name, folder):
    """Reads what is asked for on stdin, and answers on stdout."""
    parser = PARSERS[name]
    paths = parser.make(Path(folder))
    for path in paths:
        parser.read(path)  # what is valid is read; and all is loaded
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    print(json.dumps([str(path) for path in paths]), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(fall(parser.read, Path(json.loads(line)))), file=answers, flush=True)


class Worker:
    """A process that reads files; a new one where it has ended."""

    def __init__(self, name, folder):
        self.name, self.folder, self.child = name, folder, None

    def start(self):
        command = [sys.executable, __file__, "--work", str(self.folder), self.name]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        first = self.child.stdout.readline()
        if not first:
            sys.exit(f"error: {self.name} does not read its valid files: run {' '.join(command)}")
        return [Path(path) for path in json.loads(first)]

    def ask(self, path):

        self.child.stdin.write(json.dumps(str(path)) + "\n")
        self.child.stdin.flush()
        timer = threading.Timer(HANGS, self.child.kill)
        timer.start()
        line = self.child.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)
        status = self.child.wait()
        self.stop()
        self.start()
        return (
            f"the process ended with {status}" if status != -9 else f"it hangs, or was killed after {HANGS} s"
        )

    def stop(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child.stdin.close()
            self.child.stdout.close()


class Fell(AssertionError):
    pass


def fuzz(name, minutes, out, first):
    """Fuzzes a parser for some time; the number of files, and the line of each kind that fell by its file."""
    fallen, count, end = {}, 0, time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(name, folder)
        paths = worker.start()
        whole = {path: path.read_bytes() for path in paths}
        files = st.sampled_from(paths).flatmap(
            lambda path: st.tuples(
                st.just(path), changed_file(whole[path], list(whole.values()), PARSERS[name].tokens)
            )
        )
        last = [None, b"", ""]

        def check(change):
            nonlocal count
            path, content = change
            if time.monotonic() > end + 120:  # making it smaller has its time too
                return
            count += 1
            path.write_bytes(content)
            line = worker.ask(path)
            path.write_bytes(whole[path])
            kind = line.partition(": ")[0]
            if line and kind not in fallen:
                last[:] = path, content, line
                if kind.startswith(("the process", "it hangs", "time", "memory")):
                    keep(kind)  # smaller ones would take too long to find
                else:
                    raise Fell(kind)

        def keep(kind):
            path, content, line = last
            target = Path(out) / name / f"{hashlib.sha256(content).hexdigest()[:8]}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            fallen[kind] = f"{line}  ({target})"
            print(f"  {name}: {fallen[kind]}", flush=True)

        number = first
        while time.monotonic() < end:
            number += 1
            how = settings(
                max_examples=200,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                print_blob=False,
            )
            try:
                seed(number)(how(given(files)(check)))()
            except Fell as error:
                keep(str(error))
        worker.stop()
    return count, fallen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help=f"default all: {' '.join(PARSERS)}")
    parser.add_argument("--minutes", type=float, default=10, help="for each parser")
    parser.add_argument("--out", default="fuzz-found", help="folder for files that fell")
    parser.add_argument("--seed", type=int, default=0, help="another one, other files")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.parsers) - set(PARSERS)
    if unknown:
        parser.error(f"no parser {', '.join(sorted(unknown))}: choose of {' '.join(PARSERS)}")
    if options.work:
        return work(options.parsers[0], options.work)
    total = collections.Counter()
    for name in options.parsers or PARSERS:
        count, fallen = fuzz(name, options.minutes, options.out, 1_000_000 * options.seed)
        total.update(files=count, fallen=len(fallen))
        print(f"{name}: {count} files, {len(fallen)} kinds fell", flush=True)
    return int(total["fallen"] > 0)


if __name__ == "__main__":
    sys.exit(main())
