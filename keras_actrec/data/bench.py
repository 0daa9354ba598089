"""How fast clips come in on this machine, as ratios within one run."""

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_actrec._locks import make_folder
from keras_actrec._numbers import MOST, whole
from keras_actrec._types import PathLike, silent
from keras_actrec.data._opencv import opencv
from keras_actrec.data._shards import shard_of
from keras_actrec.data.cache import cache_frames
from keras_actrec.data.decode import index_videos, read_frames
from keras_actrec.data.extract import extract_features
from keras_actrec.data.loader import ClipDataset, FeatureDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.transforms import ClipTransform

CLIP = Sampling(16)  # one frame from each of 16 segments
SIZE = 224
_FRAMES, _WIDTH, _HEIGHT = 90, 320, 240  # of the videos that are made
_MEMORY = Path("/proc/self/statm")


def bench_data(
    folder: PathLike,
    *,
    videos: Iterable[PathLike] | None = None,
    num_videos: int = 8,
    rounds: int = 7,
    samples: int = 10_000,
    progress: Callable[[str, int, int], object] | None = None,
) -> dict[str, Any]:
    """Measure decoders, caches and the memory of the loaders, all in one process and one run.

    What is measured, in CPU time of the whole process (all threads):

    - clips of 16 frames a second, decoded to RGB, by OpenCV (`read_frames`), by PyAV as a program of its own
      would use it, and by decord, if they are installed and the videos in no tar files;
    - the same clips out of the frame cache, prepared for 224 pixels, and as features of 7 x 7 x 1280;
    - the growth of the process' memory over the second half of `samples` clips through the loaders with four
      threads.

    The programs take turns, so that a busy machine slows all of them; a figure is the median over rounds.

    Args:
        folder: folder to write videos and caches into.
        videos: paths of videos to use; by default `num_videos` are made: 320 x 240, 90 frames, MPEG-4.
        num_videos: how many to make.
        rounds: how often each program reads all clips.
        samples: clips for the memory; 0 leaves that out.
        progress: called as `progress(stage, done, total)`: stages `rounds` and `samples`.

    Returns:
        dict of `videos`, `rounds`; `clips_per_cpu_second`: program to figure; `ratios`: words to figure; and
        `memory`: loader to MiB that 1,000 clips add, on Linux.

    Raises:
        UserError: an argument out of range.
        VideoError: a video that cannot be used.
    """
    for name, value, least in (("num_videos", num_videos, 1), ("rounds", rounds, 1), ("samples", samples, 0)):
        whole(name, value, least, 10 * MOST)
    progress = progress or silent
    folder = Path(folder)
    paths = [Path(path) for path in videos] if videos else _write_videos(folder / "videos", num_videos)
    indexed, _ = index_videos([Record(path, path.name, 0) for path in paths])
    transform = ClipTransform(SIZE)
    frames = cache_frames(indexed, transform, folder / "cache")
    features = extract_features(indexed, _backbone(), transform=transform, out=folder / "cache")
    indices = [CLIP.indices(info.frames)[0] for _, info in indexed]

    def by(read: Callable[[str, np.ndarray], np.ndarray]) -> Callable[[int], np.ndarray]:
        return lambda video: read(str(paths[video]), indices[video])

    programs = {name: by(read) for name, read in _decoders(paths).items()}
    programs["frame cache"] = lambda video: frames[video][1].read(indices[video])
    programs["feature cache"] = lambda video: features[video][1].read(indices[video])

    speeds: dict[str, list[float]] = {name: [] for name in programs}
    for done in range(rounds):
        for name, program in programs.items():
            repeats = 10 if name.endswith("cache") else 1  # long enough for the clock
            start = time.process_time()
            for _ in range(repeats):
                for video in range(len(paths)):
                    program(video)
            speeds[name].append(repeats * len(paths) / (time.process_time() - start))
        progress("rounds", done + 1, rounds)

    def ratio(first: str, second: str) -> float:  # of turns next to each other
        return statistics.median(a / b for a, b in zip(speeds[first], speeds[second], strict=True))

    ratios = {f"OpenCV / {name}": ratio("OpenCV", name) for name in ("PyAV", "decord") if name in speeds}
    ratios |= {f"{name} / OpenCV": ratio(name, "OpenCV") for name in ("frame cache", "feature cache")}
    loaders = {
        "clips, decoded": lambda: ClipDataset(indexed, CLIP, transform, training=True, workers=4),
        "clips, frame cache": lambda: ClipDataset(frames, CLIP, transform, training=True, workers=4),
        "features": lambda: FeatureDataset(features, CLIP, training=True, workers=4),
    }
    measured = loaders.items() if samples and _MEMORY.exists() else ()
    memory = {name: _growth(make(), samples, progress) for name, make in measured}
    return {
        "videos": len(paths),
        "rounds": rounds,
        "clips_per_cpu_second": {name: statistics.median(values) for name, values in speeds.items()},
        "ratios": ratios,
        "memory": memory,
    }


def _decoders(paths: Iterable[Path]) -> dict[str, Callable[[str, np.ndarray], np.ndarray]]:
    """Programs that decode these videos: OpenCV alone where some lie in tar files."""
    found: dict[str, Callable[[str, np.ndarray], np.ndarray]] = {"OpenCV": read_frames}
    if not any(map(shard_of, paths)):
        for name, module, read in (("PyAV", "av", _pyav), ("decord", "decord", _decord)):
            if importlib.util.find_spec(module) is not None:
                found[name] = read
    return found


def _pyav(path: str, indices: np.ndarray) -> np.ndarray:
    import av

    wanted, last, found = set(indices.tolist()), int(max(indices)), {}
    with av.open(path) as container:
        for position, frame in enumerate(container.decode(video=0)):
            if position in wanted:
                found[position] = frame.to_ndarray(format="rgb24")
            if position == last:
                break
    return np.stack([found[position] for position in indices.tolist()])


def _decord(path: str, indices: np.ndarray) -> np.ndarray:
    import decord

    return decord.VideoReader(path, num_threads=1).get_batch(indices).asnumpy()


def _backbone() -> keras.Model:
    """A network that gives 7 x 7 x 1280, the size of what a real one gives; what it gives does not matter."""
    frame = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.AveragePooling2D(SIZE // 7)(keras.layers.Rescaling(1 / 255)(frame))
    return keras.Model(frame, keras.layers.Dense(1280)(x), name="bench")


def _growth(
    dataset: ClipDataset | FeatureDataset, samples: int, progress: Callable[[str, int, int], object]
) -> float:
    """MiB that 1,000 clips add: the slope of the memory over the second half of the clips."""
    counts: list[int] = []
    sizes: list[int] = []
    done = 0
    while done < samples:
        for index in range(len(dataset)):
            done += len(dataset[index][1])
        dataset.on_epoch_end()
        counts.append(done)
        sizes.append(_resident())
        progress("samples", min(done, samples), samples)
    half = len(counts) // 2
    return float(np.polyfit(counts[half:], sizes[half:], 1)[0] * 1000 / 2**20) if half > 1 else 0.0


def _resident() -> int:
    """Bytes of memory that the process holds."""
    return int(_MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _write_videos(folder: Path, count: int) -> list[Path]:
    """Videos of a texture that moves, 320 x 240, 90 frames."""
    cv2 = opencv()
    make_folder(folder)
    paths = [folder / f"{number:03}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        texture = cv2.resize(rng.integers(0, 256, (60, 80, 3), "uint8"), (2 * _WIDTH, 2 * _HEIGHT))
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (_WIDTH, _HEIGHT))
        for step in range(_FRAMES):
            top, left = step, 2 * step
            writer.write(np.ascontiguousarray(texture[top : top + _HEIGHT, left : left + _WIDTH]))
        writer.release()
    return paths
