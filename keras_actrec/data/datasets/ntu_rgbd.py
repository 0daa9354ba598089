"""NTU RGB+D and NTU RGB+D 120: skeletons of Kinect v2."""

import re
from pathlib import Path

import numpy as np

from keras_actrec.data.datasets._common import (
    checked_joints,
    choose,
    finish,
    index,
    look_for,
    read_text,
    relative,
)
from keras_actrec.data.estimators import kinect
from keras_actrec.data.manifest import Manifest, Record

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_LISTS = ("NTU_RGBD_samples_with_missing_skeletons.txt", "NTU_RGBD120_samples_with_missing_skeletons.txt")
_SUBJECTS = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
_SUBJECTS_120 = _SUBJECTS | {45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89}
_SUBJECTS_120 |= {91, 92, 93, 94, 95, 97, 98, 100, 103}
_IS_TRAIN = {
    "cs": lambda setup, camera, subject: subject in _SUBJECTS,
    "cv": lambda setup, camera, subject: camera != 1,
    "csub": lambda setup, camera, subject: subject in _SUBJECTS_120,
    "cset": lambda setup, camera, subject: setup % 2 == 0,
}
# (train, test) in full, and without the samples of the lists of missing skeletons.
_FULL = {"cs": (40320, 16560), "cv": (37920, 18960)}
_LISTED_OUT = {"cs": (40091, 16487), "cv": (37646, 18932), "csub": (63026, 50919), "cset": (54468, 59477)}


def ntu_rgbd(root: str | Path, *, split: str = "cs", missing: str | Path | None = None) -> Manifest:
    """NTU RGB+D: 56,880 samples of 60 actions; NTU RGB+D 120: 114,480 of 120.

    Looks for `SsssCcccPpppRrrrAaaa.skeleton` in `root` or up to two folders below. The splits are `"cs"`
    (cross subject, 20 training subjects) and `"cv"` (cross view: cameras 2 and 3 train, 1 tests) of the 60
    classes, for which only setups 1 to 17 are read, and `"csub"` (53 training subjects) and `"cset"` (even
    setups train) of the 120. `"all"` is every sample, in no part, of 120 classes where there is a setup above
    17. In `cs`, `csub` and `all` the group is the subject. `official` has the counts without
    the samples on the lists of missing skeletons where such a list is used (302 and 535 samples); they are
    those of the literature, and so are the full ones, which for the 120 classes are not known.

    Args:
        root: folder with the skeleton files.
        split: `"cs"`, `"cv"`, `"csub"`, `"cset"` or `"all"`.
        missing: what to leave out. The path of an official list of samples with missing skeletons; `None`
            uses `NTU_RGBD_samples_with_missing_skeletons.txt` and
            `NTU_RGBD120_samples_with_missing_skeletons.txt` where they lie in `root` or next to it;
            `"empty"` reads every file and leaves out those without a body.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout or an unknown split.
        VideoError: with `missing="empty"`, a file that is not a skeleton file.
    """
    split = choose("split", split, (*_IS_TRAIN, "all"))
    look_for(root, "NTU RGB+D", "*.skeleton", "*/*.skeleton", "*/*/*.skeleton")
    root = Path(root)
    if missing is None:
        lists = [folder / name for folder in (root, root.absolute().parent) for name in _LISTS]
        lists = [path for path in lists if path.is_file()]
    else:
        lists = [] if missing == "empty" else [Path(missing)]
    skip = {match[0] for path in lists for match in _NAME.finditer(read_text(path))}
    records, last_setup = [], 0
    for stem, file in index(root, suffixes=(".skeleton",)).items():
        match = _NAME.fullmatch(stem)
        if match is None or match[0] in skip:
            continue
        setup, camera, subject, _, action = map(int, match.groups())
        if split in ("cs", "cv") and setup > 17:
            continue
        if missing == "empty" and not kinect.bodies_of(file)[1]:
            continue
        part = ""
        if split != "all":
            part = "train" if _IS_TRAIN[split](setup, camera, subject) else "test"
        group = f"P{subject:03d}" if split in ("cs", "csub", "all") else ""
        records.append(Record(file, relative(file, root), action - 1, part, group))
        last_setup = max(last_setup, setup)
    edition = split
    if split == "all":
        edition = "csub" if last_setup > 17 else "cs"
    counts = (_LISTED_OUT if skip else _FULL).get(edition, ())
    official = dict(zip(("train", "test"), counts, strict=False))
    if split == "all" and counts:
        official = {"": sum(counts)}
    names = _CLASSES[:60] if edition in ("cs", "cv") else _CLASSES
    return finish("ntu_rgbd", root, names, records, official)


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, 2, 25, 3)` in meters: the body that moves most, then the next one or zeros.

    Bodies are followed by the number that Kinect gave them and ranked by the variance of their coordinates,
    the authors' own rule. Frames in which a body is missing are zeros.
    """
    joints = kinect.read(record.file).joints
    joints = np.pad(joints, [(0, 0), (0, 2 - joints.shape[1]), (0, 0), (0, 0)])
    return checked_joints(record.file, joints, (2, 25, 3))


_CLASSES = tuple(
    name.strip()
    for name in """
drink water; eat meal/snack; brushing teeth; brushing hair; drop; pickup; throw; sitting down;
standing up (from sitting position); clapping; reading; writing; tear up paper; wear jacket; take off jacket;
wear a shoe; take off a shoe; wear on glasses; take off glasses; put on a hat/cap; take off a hat/cap;
cheer up; hand waving; kicking something; put something inside pocket / take out something from pocket;
hopping (one foot jumping); jump up; make a phone call/answer phone; playing with phone/tablet;
typing on a keyboard; pointing to something with finger; taking a selfie; check time (from watch);
rub two hands together; nod head/bow; shake head; wipe face; salute; put the palms together;
cross hands in front (say stop); sneeze/cough; staggering; falling; touch head (headache);
touch chest (stomachache/heart pain); touch back (backache); touch neck (neckache);
nausea or vomiting condition; use a fan (with hand or paper)/feeling warm; punching/slapping other person;
kicking other person; pushing other person; pat on back of other person; point finger at the other person;
hugging other person; giving something to other person; touch other person's pocket; handshaking;
walking towards each other; walking apart from each other; put on headphone; take off headphone;
shoot at the basket; bounce ball; tennis bat swing; juggling table tennis balls; hush (quite); flick hair;
thumb up; thumb down; make ok sign; make victory sign; staple book; counting money; cutting nails;
cutting paper (using scissors); snapping fingers; open bottle; sniff (smell); squat down; toss a coin;
fold paper; ball up paper; play magic cube; apply cream on face; apply cream on hand back; put on bag;
take off bag; put something into a bag; take something out of a bag; open a box; move heavy objects;
shake fist; throw up cap/hat; hands up (both hands); cross arms; arm circles; arm swings; running on the spot;
butt kicks (kick backward); cross toe touch; side kick; yawn; stretch oneself; blow nose;
hit other person with something; wield knife towards other person; knock over other person (hit with body);
grab other person's stuff; shoot at other person with a gun; step on foot; high-five; cheers and drink;
carry something with other person; take a photo of other person; follow other person;
whisper in other person's ear; exchange things with other person; support somebody with one's hand;
finger-guessing game (playing rock-paper-scissors)
""".split(";")
)
