"""Small sets in the layouts of the official ones, with something to learn in them."""

import functools
import json
import struct
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_actrec.data import Record, VideoInfo, write_pose
from keras_actrec.data.cache import fill

NORTHWESTERN_UCLA_ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)  # the numbers of the set's ten
CLASSES = ("brush_hair", "cartwheel", "catch")
SPORTS = (  # folders of UCF Sports, one a class
    "Diving-Side",
    "Golf-Swing-Back",
    "Kicking-Front",
    "Lifting",
    "Riding-Horse",
    "Run-Side",
    "SkateBoarding-Front",
    "Swing-Bench",
    "Swing-SideAngle",
    "Walk-Front",
)
FRAMES = 10


def northwestern_ucla(root, subjects=4, episodes=2, views=(1, 2)):
    """In each action another one of 20 joints moves; 9 + subject frames."""
    (root / "all_sqe").mkdir()
    rng = np.random.default_rng(0)
    for action in NORTHWESTERN_UCLA_ACTIONS:
        for subject in range(1, subjects + 1):
            for episode in range(episodes):
                for view in views:
                    joints = rng.normal(0, 0.1, (1, 20, 3)) + np.zeros((9 + subject, 1, 1))
                    joints[:, action, action % 3] += np.linspace(0, 5, len(joints))
                    name = f"a{action:02}_s{subject:02}_e{episode:02}_v{view:02}"
                    content = json.dumps({"file_name": name, "skeletons": joints.tolist()})
                    (root / "all_sqe" / f"{name}.json").write_text(content)
    return root


def lines(path, *rows):
    """Write a text file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def frames_of(place):
    """A clip `(10, 32, 32, 3)`: a square that moves, in the color of `place`."""
    frames = np.full((FRAMES, 32, 32, 3), 60, "uint8")
    for time in range(FRAMES):
        frames[time, 10:18, 2 * time : 2 * time + 8] = 40 * (place % 5), 255 - 25 * (place % 10), 200
    return frames


def video(path, place):
    """A file of `frames_of(place % 4)`: an mp4 under any name, which readers of videos do not go by."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(place % 4))


@functools.cache
def _encoded(place):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 10, (32, 32))
        for frame in frames_of(place):
            writer.write(frame)
        writer.release()
        return file.read_bytes()


def ucf101(root):
    """Three classes; four groups of one clip to train and one to test in each."""
    names = ("ApplyEyeMakeup", "Archery", "HandStand")
    lists = root / "ucfTrainTestlist"
    lines(lists / "classInd.txt", *(f"{place + 1} {name}" for place, name in enumerate(names)))
    clips = {group: [f"{name}/v_{name}_g{group:02}_c01.avi" for name in names] for group in range(1, 6)}
    for split in (1, 2, 3):  # group `split` is for testing
        train = [clip for group in clips if group != split for clip in clips[group]]
        lines(lists / f"trainlist0{split}.txt", *(f"{clip} 1" for clip in train))
        lines(lists / f"testlist0{split}.txt", *clips[split])
    for group in clips.values():
        for place, clip in enumerate(group):
            video(root / "UCF-101" / clip, place)
    return root


def hmdb51(root, lists="testTrainMulti_7030_splits"):
    """Three classes; four clips to train, one to test and one that is not used in each."""
    for place, name in enumerate(CLASSES):
        clips = [f"{name}_{clip}.avi" for clip in range(6)]
        for split in (1, 2, 3):
            parts = [2 if clip == split else 1 for clip in range(5)] + [0]
            rows = [f"{clip} {part} " for clip, part in zip(clips, parts, strict=True)]
            lines(root / lists / f"{name}_test_split{split}.txt", *rows)
        for clip in clips:
            video(root / name / clip, place)
    return root


def jhmdb(root):
    """As HMDB51."""
    return hmdb51(root, lists="splits")


def ucf_sports(root):
    """Four sequences of each class, one in the first third of the numbers; the last one has images only."""
    for place, folder in enumerate(SPORTS):
        for number in (1, 8, 9):
            video(root / folder / f"{number:03}" / f"{number}.avi", place)
        images(root / folder / "010" / "jpeg", place)
    return root


def images(folder, place):
    """The frames of a clip as numbered images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames_of(place), start=1):
        cv2.imwrite(str(folder / f"{number:05}.jpg"), frame)


def olympic_sports(root):
    """Three classes; four `.seq` files to train and one to test in each."""
    for place, name in enumerate(("diving_platform_10m", "high_jump", "long_jump")):
        (root / name).mkdir(parents=True)
        for clip in range(5):
            (root / name / f"clip_{clip}.seq").write_bytes(_seq(frames_of(place)))
        title = name.removeprefix("diving_")  # the release's list leaves the word out
        lines(root / f"train_test_split/train/{title}.txt", *(f"clip_{clip}" for clip in range(4)))
        lines(root / f"train_test_split/test/{title}.txt", "clip_4")
    return root


def _seq(frames):
    """JPEG frames in the container: a header of 1024 bytes, then size, image, time stamp and padding."""
    head = struct.pack("<I", 0xFEED) + "Norpix seq\0\0".encode("utf-16-le") + struct.pack("<ii", 3, 1024)
    head += bytes(512) + struct.pack("<9I", 32, 32, 24, 8, 32 * 32 * 3, 201, len(frames), 0, 0)
    head = (head + struct.pack("<d", 10.0)).ljust(1024, b"\0")
    body = b""
    for frame in frames:
        image = cv2.imencode(".jpg", frame)[1].tobytes()
        body += struct.pack("<I", len(image) + 4) + image + struct.pack("<IH", 0, 0) + bytes(10)
    return head + body


def something_something_v1(root):
    """174 classes, as mirroring needs; 176 clips to train and three to test.

    A clip is a folder of images; all but three are links.
    """
    names = [f"Doing thing {place:03}" for place in range(174)]
    name = "something-something-v1-{}.csv"
    lines(root / name.format("labels"), *names[::-1])  # the official order is not the sorted one
    lines(root / name.format("train"), *(f"{clip};{names[clip % 174]}" for clip in range(176)))
    lines(root / name.format("validation"), *(f"{clip};{names[clip % 3]}" for clip in range(176, 179)))
    folder = root / "20bn-something-something-v1"
    for clip in range(3):
        images(folder / str(clip), clip)
    for clip in range(3, 179):
        (folder / str(clip)).symlink_to(folder / str(clip % 3), target_is_directory=True)
    return root


def diving48(root):
    """Three dives; four clips to train and one to test in each, in both versions of the labels."""
    lines(root / "Diving48_vocab.json", json.dumps([["Back", "15som", "05Twis", p] for p in ("A", "B", "C")]))
    clips = [{"vid_name": f"d{label}_{clip}", "label": label} for label in range(3) for clip in range(5)]
    for version in ("", "V2_"):
        for part, wanted in (("train", "0123"), ("test", "4")):
            rows = [clip for clip in clips if clip["vid_name"][-1] in wanted]
            lines(root / f"Diving48_{version}{part}.json", json.dumps(rows))
    for clip in clips:
        video(root / "rgb" / f"{clip['vid_name']}.mp4", clip["label"])
    return root


def kinetics(root):
    """Three classes; two clips to train and one to test in each."""
    for part, clips in (("train", (0, 1)), ("val", (2,))):
        rows = [f"{name},{name}{clip},{clip},{clip + 10},{part}" for name in CLASSES for clip in clips]
        lines(root / "annotations" / f"{part}.csv", "label,youtube_id,time_start,time_end,split", *rows)
    for place, name in enumerate(CLASSES):
        for clip in range(3):
            video(root / name / f"{name}{clip}_{clip:06}_{clip + 10:06}.mp4", place)
    return root


def ntu_rgbd(root):
    """60 actions; in each, people 1 and 2 before cameras 2 and 3 and person 3 before camera 1: 2 frames."""
    for action in range(1, 61):
        for person, camera in ((1, 2), (2, 3), (3, 1)):
            joint = f"{action / 60:.3f} {person / 3:.3f} {{}} 0 0 0 0 0 0 0 0 2"
            body = ["1", "72057594037931101 0 1 1 0 0 0 -0.1 0.2 2", "25"]
            frames = [[*body, *(joint.format(place * frame) for place in range(25))] for frame in (1, 2)]
            name = f"S001C{camera:03}P{person:03}R001A{action:03}.skeleton"
            lines(root / name, "2", *(row for frame in frames for row in frame))
    return root


def sysu_3d_hoi(root):
    """Four people, each once in each of the 12 activities; 5 frames."""
    savemat = pytest.importorskip("scipy.io", reason="SciPy is in the extras `skeletons` and `tune`").savemat
    rng = np.random.default_rng(0)
    for person in range(1, 5):
        for number in range(1, 13):
            file = root / f"3DvideoNorm/{person:03}/video{number}/sklWorld.mat"
            file.parent.mkdir(parents=True)
            savemat(file, {"SW": rng.normal(number, 1, (20, 3, 5))})
    return root


def utkinect(root):
    """Subjects 1 to 4, ten actions of six frames in each recording."""
    actions = "walk sitDown standUp pickUp carry throw push pull waveHands clapHands".split()
    rng, rows = np.random.default_rng(0), []
    for subject in range(1, 5):
        name = f"s{subject:02}_e01"
        rows += [
            name,
            *(f"{action}: {6 * place + 1} {6 * place + 6}" for place, action in enumerate(actions)),
        ]
        joints = rng.normal(0, 1, (60, 60)) + np.repeat(np.arange(10), 6)[:, None]
        steps = [f"{step + 1} {' '.join(f'{value:.3f}' for value in row)}" for step, row in enumerate(joints)]
        lines(root / "joints" / f"joints_{name}.txt", *steps)
    lines(root / "actionLabel_modified.txt", *rows)
    return root


def msr_action3d(root):
    """20 actions by two subjects; 4 frames. All of them are on the list."""
    names = [f"a{action:02}_s{subject:02}_e01" for action in range(1, 21) for subject in (1, 2)]
    rng = np.random.default_rng(0)
    for name in names:
        rows = rng.normal(0, 1, (4 * 20, 3))
        points = [f"{x:.3f} {y:.3f} {z:.3f} 1.0" for x, y, z in rows]
        lines(root / "MSRAction3DSkeletonReal3D" / f"{name}_skeleton3D.txt", *points)
    lines(root / "JiangExperimentFileList.txt", *names)
    return root


def basic_motions(root):
    """Eight sequences to train and four to test, two and one of each of the four actions."""
    rng = np.random.default_rng(0)
    np.savez(
        root / "basic_motions.npz",
        X_train=rng.normal(size=(8, 100, 6)).astype("float32"),
        y_train=np.arange(8) % 4,
        X_test=rng.normal(size=(4, 100, 6)).astype("float32"),
        y_test=np.arange(4),
        class_names=np.array(["Badminton", "Running", "Standing", "Walking"]),
    )
    return root


def folder(root):
    """Videos of one's own: one folder a class of eight."""
    for place, name in enumerate(CLASSES[:2]):
        for clip in range(8):
            video(root / name / f"clip {clip}.mp4", place)
    return root


def poses(root, count=5):
    """Joints of one's own in pixels, one folder a class of eight: in each another joint moves."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(CLASSES[:2]):
        for clip in range(8):
            joints = rng.normal(300, 100, (1, count, 2)) + np.zeros((FRAMES + clip, 1, 1, 1))
            joints[:, 0, place + 1, 0] += np.linspace(0, 200, len(joints))
            write_pose(root / name / f"{clip}.npz", joints)
    return root


def coco17(root):
    """The same with the joints of COCO."""
    return poses(root, 17)


def features(root, steps=(6, 9), step=(8,), dtype="float16"):
    """Features of one's own in class folders: three classes by four people, the last one in the test part.

    One channel rises in a clip, another one in each class; files have as many steps as `steps` says in turn.
    """
    rng = np.random.default_rng(0)
    for person in range(4):
        for place, name in enumerate(CLASSES):
            for clip in range(2):
                array = rng.normal(0, 0.1, (steps[(person + clip) % len(steps)], *step))
                rise = np.linspace(0, 2, len(array))
                array[..., place] += rise.reshape(-1, *[1] * (len(step) - 1))
                file = root / ("train" if person < 3 else "test") / name / f"{person}_{clip}.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, array.astype(dtype))
    return root


def folds(root):
    """Videos of one's own in `index.csv`: two classes, groups of two clips in three folds."""
    rows = ["path,label,group,fold,n_frames,fps"]
    for place, name in enumerate(("fight", "noFight")):
        for clip in range(6):
            video(root / name / f"{name}{clip}.mp4", place)
            rows.append(f"{name}/{name}{clip}.mp4,{name},{name}{clip // 2},{clip // 2},{FRAMES},10.00")
    lines(root / "index.csv", *rows)
    return root


def splits(root):
    """Videos of one's own in `manifest.csv`: three classes by four people, the last one in the test part."""
    rows = ["path,label,split,group"]
    for place, name in enumerate(CLASSES):
        for clip in range(8):
            video(root / "videos" / f"{name}{clip}.mp4", place)
            person = clip // 2
            rows.append(f"videos/{name}{clip}.mp4,{name},{'train' if person < 3 else 'test'},P{person:03}")
    lines(root / "manifest.csv", *rows)
    return root


def cached_features(folder, arrays, labels):
    """Pairs `(Record, CachedVideo)` of float16 arrays `(steps, ...)`, as `extract_features` gives them."""
    pairs = []
    for place, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        file = folder / f"{place}.avi"
        file.write_bytes(str(place).encode())  # entries are found by the content of the video
        pairs.append((Record(file, file.name, label), VideoInfo(len(array), 0, 0.0, 1, 1)))

    def make(record, info):
        array = arrays[int(record.file.stem)].astype("float16")
        return array, [0.0] * len(array)

    options = {"audit": None, "workers": 1, "index": None, "progress": None}
    return fill(pairs, make, out=folder / "out", name="features", about=(), **options)
