"""Made clips whose class is the order of their frames and nothing else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_actrec._files import replacing, write_csv
from keras_actrec._locks import make_folder
from keras_actrec._numbers import MOST_PIXELS, MOST_SEED, whole
from keras_actrec._types import PathLike, Progress
from keras_actrec.data._opencv import opencv
from keras_actrec.errors import UserError

SYNTHETIC_PAIRS = (
    ("move_right", "move_left"),
    ("move_up", "move_down"),
    ("grow", "shrink"),
    ("turn_clockwise", "turn_anticlockwise"),
    ("pulse_then_shake", "shake_then_pulse"),
)

# One outline a pair, without rotational symmetry, y down, in any scale: centered and scaled to the unit disc.
_TURNS = np.linspace(0.12 * np.pi, 1.88 * np.pi, 25)
_OUTLINES = (
    tuple((np.cos(t), np.sin(t)) for t in _TURNS) + ((0, 0),),  # a disc with a mouth
    ((0, 0), (1.7, 0), (1.7, 4.3), (4.8, 4.3), (4.8, 6), (0, 6)),  # an L
    ((0, 0), (2, 0), (2, 1.5), (4, 1.5), (4, 0), (6, 0), (6, 3), (0, 3)),  # a U
    ((0, -3), (1.2, 3), (0, 2.2), (-1.2, 3)),  # a dart
    (
        (2, 0),
        (3, 0),
        (3, 2),
        (5, 2),
        (5, 3),
        (3, 3),
        (3, 6),
        (2, 6),
        (2, 3),
        (0, 3),
        (0, 2),
        (2, 2),
    ),  # a cross
)
_SUPERSAMPLING = 2


def synthetic_clip(
    kind: str, *, twin: int = 0, size: int = 112, frames: int = 24, seed: int = 0
) -> np.ndarray:
    """Draws one clip of a class: a textured sprite that moves, grows, turns or shakes on a still background.

    The outline tells the pair, as a scene tells sports apart, and nothing more. The look (colors, texture,
    background) and the motion (position, speed, extent) are drawn from
    `np.random.default_rng([seed, pair, twin])`, where `pair` is the row of `SYNTHETIC_PAIRS` that holds
    `kind`. So the two classes of a pair at the same `twin` show **the same frames in another order**: the
    frames reversed, or, for the two-phase pair, both phases swapped (each phase is a closed loop, so both
    orders are smooth).

    Args:
        kind: class name, one of `SYNTHETIC_PAIRS`.
        twin: which clip of the class.
        size: height and width in pixels, even, at least 32.
        frames: number of frames, at least 8.
        seed: seed of the set.

    Returns:
        uint8 array `(frames, size, size, 3)`, RGB.

    Raises:
        UserError: an unknown `kind` or a size or length that is too small.
    """
    kinds = [name for names in SYNTHETIC_PAIRS for name in names]
    if kind not in kinds:
        raise UserError(f"`kind` must be one of {', '.join(kinds)}. Received: kind={kind!r}")
    size, frames = whole("size", size, 32, MOST_PIXELS), whole("frames", frames, 8)
    if size % 2:
        raise UserError(f"`size` must be even. Received: size={size}")
    pair, backward = divmod(kinds.index(kind), 2)
    rng = np.random.default_rng([seed, pair, twin])
    sprite, background = _look(_OUTLINES[pair], size, rng)
    clip = np.stack([_compose(sprite, background, *pose) for pose in _poses(pair, frames, rng)])
    if not backward:
        return clip
    if SYNTHETIC_PAIRS[pair] == ("pulse_then_shake", "shake_then_pulse"):
        return np.roll(clip, -(frames // 2), axis=0)
    return clip[::-1].copy()


def write_synthetic(
    root: PathLike,
    *,
    clips_per_class: int = 40,
    size: int = 112,
    frames: int = 24,
    fps: float = 12,
    test_fraction: float = 0.25,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Writes a small labeled set of video files that only a model of time can solve.

    Ten classes in five pairs (`SYNTHETIC_PAIRS`). Every clip has a twin in the other class of its pair that
    consists of the same frames, before encoding, in another order (see `synthetic_clip`). Whatever a model
    computes from the frames without their order, it computes the same for both twins, so inside a pair it is
    right for one exactly when it is wrong for the other: its accuracy is chance, one half, by construction,
    and at most one half over all ten classes. (What the codec loses depends on the order a little.) A twin
    shares one `group` and so is in one split; a model that remembers a look from the training part has
    never seen that look in the test part.

    Writes `root/<class>/<class>_<number>.mp4` (codec `mp4v`) and, last, `root/manifest.csv` with the columns
    `path,label,split,group`. The same arguments give the same frames. Files of the same name are replaced.

    Args:
        root: folder to write into; made if missing.
        clips_per_class: clips of each class.
        size: height and width in pixels, even, at least 32.
        frames: frames a clip, at least 8.
        fps: frames a second written in the file.
        test_fraction: share of the twins of each pair in the split `test`, at least one unless it is 0; the
            others are `train`.
        seed: seed of the set.
        progress: called as `progress(done, total)` after every clip.

    Returns:
        The manifest.

    Raises:
        UserError: an argument out of range, or this OpenCV cannot write mp4 files.
    """
    clips_per_class, seed = whole("clips_per_class", clips_per_class), whole("seed", seed, 0, MOST_SEED)
    if not 0 <= test_fraction < 1:
        raise UserError(f"`test_fraction` must be in [0, 1). Received: test_fraction={test_fraction}")
    if fps <= 0:
        raise UserError(f"`fps` must be above 0. Received: fps={fps}")
    root = Path(root)
    num_test = (
        min(max(round(test_fraction * clips_per_class), 1), clips_per_class - 1) if test_fraction else 0
    )
    total = 2 * len(SYNTHETIC_PAIRS) * clips_per_class
    rows = []
    for pair, kinds in enumerate(SYNTHETIC_PAIRS):
        for kind in kinds:
            make_folder(root / kind)
            for twin in range(clips_per_class):
                path = f"{kind}/{kind}_{twin:03d}.mp4"
                clip = synthetic_clip(kind, twin=twin, size=size, frames=frames, seed=seed)
                _write_mp4(root / path, clip, fps)
                split = "test" if twin >= clips_per_class - num_test else "train"
                group = f"pair{pair}_twin{twin:03d}"
                rows.append({"path": path, "label": kind, "split": split, "group": group})
                if progress is not None:
                    progress(len(rows), total)
    manifest = root / "manifest.csv"
    write_csv(manifest, rows)
    return manifest


def _write_mp4(path: Path, clip: np.ndarray, fps: float) -> None:
    cv2 = opencv()
    height, width = clip.shape[1:3]
    with replacing(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
        if not writer.isOpened():
            raise UserError(f"{path}: OpenCV cannot write mp4 files here; install opencv-python from PyPI")
        for frame in clip:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))  # OpenCV's colors are BGR
        writer.release()
        _check_written(path, temporary, clip)


def _check_written(path: Path, written: Path, clip: np.ndarray) -> None:
    """OpenCV does not say that the disk is full: the file is short, or cannot be opened."""
    video = opencv().VideoCapture(str(written))
    frames = int(video.get(opencv().CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if frames != len(clip):
        with open(written, "ab", buffering=0) as file:
            file.write(bytes(clip.nbytes))  # more than the file would have had, and this is said
        raise UserError(
            f"{path}: OpenCV has written {frames} of {len(clip)} frames; install it anew from PyPI"
        )


def _look(
    outline: Sequence[tuple[float, float]], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sprite `(S, S, 4)` with premultiplied alpha and background `(size, size, 3)`, float32 in 0-255."""
    cv2 = opencv()
    dark_background = rng.random() < 0.5
    dark, light = rng.uniform(20, 90, (2, 3)), rng.uniform(145, 235, (2, 3))
    back, front = (dark, light) if dark_background else (light, dark)

    y, x = np.mgrid[:size, :size] / (size - 1)
    angle = rng.uniform(0, 2 * np.pi)
    slope = y * np.cos(angle) + x * np.sin(angle)
    slope = (slope - slope.min()) / np.ptp(slope)
    background = back[0] + slope[..., None] * (back[1] - back[0])
    for cells, strength in ((4, 16.0), (size // 8, 12.0)):
        noise = rng.normal(0, strength, (cells, cells, 3)).astype("float32")
        background += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)

    points = np.array(outline, "float32")
    points -= (points.min(0) + points.max(0)) / 2
    points /= np.linalg.norm(points, axis=1).max()
    fixed = np.round((points * 0.48 + 0.5) * size * 16).astype("int32")
    alpha = np.zeros((size, size), "uint8")
    cv2.fillPoly(alpha, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    alpha = alpha.astype("float32")[..., None] / 255

    angle, waves = rng.uniform(0, np.pi), rng.uniform(4, 8)
    stripes = 0.5 + 0.5 * np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    color = front[0] + stripes * (front[1] - front[0])
    sprite = np.concatenate([color * alpha, alpha], axis=-1)
    return sprite.astype("float32"), background.clip(0, 255).astype("float32")


def _poses(pair: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """`(frames, 4)`: center x, center y, diameter (all in frame sizes), angle in degrees, clockwise."""
    diameter = rng.uniform(0.34, 0.46)  # of the disc round the sprite, which the outline does not fill
    angle = rng.uniform(0, 360)
    time = np.linspace(0, 1, frames) ** rng.uniform(0.75, 1.33)  # slowing down or speeding up
    still = np.ones(frames)

    def anywhere(room: float) -> float:  # a center that keeps `room` inside the frame
        return rng.uniform(room / 2, 1 - room / 2)

    forward = SYNTHETIC_PAIRS[pair][0]
    if forward in ("move_right", "move_up"):
        travel = rng.uniform(0.4, 1 - diameter)
        along = anywhere(diameter + travel) + travel * (time - 0.5)
        across = anywhere(diameter) * still
        x, y = (along, across) if forward == "move_right" else (across, 1 - along)
        pose = x, y, diameter * still, angle * still
    elif forward == "grow":
        largest, factor = rng.uniform(0.55, 0.72), rng.uniform(1.8, 2.4)
        center = anywhere(largest), anywhere(largest)
        pose = center[0] * still, center[1] * still, largest * factor ** (time - 1), angle * still
    elif forward == "turn_clockwise":
        turn = rng.uniform(150, 320)
        pose = anywhere(diameter) * still, anywhere(diameter) * still, diameter * still, angle + turn * time
    else:
        half = frames // 2
        swing, growth = rng.uniform(0.14, 0.2), rng.uniform(1.5, 1.8)
        center = anywhere(diameter + 2 * swing), anywhere(diameter * growth)

        def cycles(
            length: int,
        ) -> np.ndarray:  # an angle that ends one step before it comes back to the start: a closed loop
            most = 2 if length >= 6 else 1  # with fewer frames a second swing would fall between them
            return 2 * np.pi * rng.integers(1, most + 1) * np.arange(length) / length

        pulse, shake = np.zeros(frames), np.zeros(frames)
        pulse[:half] = np.sin(cycles(half) / 2) ** 2
        shake[half:] = np.sin(cycles(frames - half))
        pose = center[0] + swing * shake, center[1] * still, diameter * growth**pulse, angle * still
    return np.stack(pose, axis=1)


def _compose(
    sprite: np.ndarray, background: np.ndarray, x: float, y: float, diameter: float, angle: float
) -> np.ndarray:
    """One uint8 frame: the sprite warped at twice the resolution, averaged down, laid over the background."""
    cv2 = opencv()
    side, size = len(sprite), len(background)
    fine = size * _SUPERSAMPLING
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -angle, diameter * fine / side)
    matrix[:, 2] += np.array([x, y]) * fine - side / 2
    layer = cv2.warpAffine(sprite, matrix, (fine, fine), flags=cv2.INTER_LINEAR)
    layer = cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA)
    frame = layer[..., :3] + (1 - layer[..., 3:]) * background
    return np.clip(np.round(frame), 0, 255).astype("uint8")
