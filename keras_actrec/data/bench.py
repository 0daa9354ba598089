"""How fast clips come in on this machine, as ratios within one run."""

import importlib.util
import os
import statistics
import time
from pathlib import Path

import numpy as np

from keras_actrec.data._opencv import opencv
from keras_actrec.data.cache import cache_frames
from keras_actrec.data.decode import index_videos, read_frames
from keras_actrec.data.extract import extract_features
from keras_actrec.data.loader import ClipDataset, FeatureDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError

CLIP = Sampling(16)  # one frame from each of 16 segments
SIZE = 224
_FRAMES, _WIDTH, _HEIGHT = 90, 320, 240  # of the videos that are made
_MEMORY = Path("/proc/self/statm")


def bench_data(folder, *, videos=None, num_videos=8, rounds=7, samples=10_000, progress=None):
    """Measure decoders, caches and the memory of the loaders, all in one process and one run.

    What is measured, in CPU time of the whole process (all threads):

    - clips of 16 frames a second, decoded to RGB, by OpenCV (`read_frames`), by PyAV as a program of its own
      would use it, and by decord, if it is installed;
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
        if value < least:
            raise UserError(f"`{name}` must be at least {least}. Received: {name}={value}")
    progress = progress or (lambda stage, done, total, text="": None)
    folder = Path(folder)
    paths = [Path(path) for path in videos] if videos else _write_videos(folder / "videos", num_videos)
    indexed, _ = index_videos([Record(path, path.name, 0) for path in paths])
    transform = ClipTransform(SIZE)
    frames = cache_frames(indexed, transform, folder / "cache")
    features = extract_features(indexed, _backbone(), transform=transform, out=folder / "cache")
    indices = [CLIP.indices(info.frames)[0] for _, info in indexed]

    programs = {"OpenCV": lambda place: read_frames(paths[place], indices[place])}
    for name, module, program in (("PyAV", "av", _pyav), ("decord", "decord", _decord)):
        if importlib.util.find_spec(module) is not None:
            programs[name] = lambda place, program=program: program(str(paths[place]), indices[place])
    programs["frame cache"] = lambda place: frames[place][1].read(indices[place])
    programs["feature cache"] = lambda place: features[place][1].read(indices[place])

    speeds = {name: [] for name in programs}
    for done in range(rounds):
        for name, program in programs.items():
            repeats = 10 if name.endswith("cache") else 1  # long enough for the clock
            start = time.process_time()
            for _ in range(repeats):
                for place in range(len(paths)):
                    program(place)
            speeds[name].append(repeats * len(paths) / (time.process_time() - start))
        progress("rounds", done + 1, rounds)

    def ratio(first, second):  # of turns that stood beside each other
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


def _pyav(path, indices):
    import av

    wanted, last, found = set(indices.tolist()), int(max(indices)), {}
    with av.open(path) as container:
        for place, frame in enumerate(container.decode(video=0)):
            if place in wanted:
                found[place] = frame.to_ndarray(format="rgb24")
            if place == last:
                break
    return np.stack([found[place] for place in indices.tolist()])


def _decord(path, indices):
    import decord

    return decord.VideoReader(path, num_threads=1).get_batch(indices).asnumpy()


def _backbone():
    """A network that gives 7 x 7 x 1280, the size of what a real one gives; what it gives does not matter."""
    import keras

    frame = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.AveragePooling2D(SIZE // 7)(keras.layers.Rescaling(1 / 255)(frame))
    return keras.Model(frame, keras.layers.Dense(1280)(x), name="bench")


def _growth(dataset, samples, progress):
    """MiB that 1,000 clips add: the slope of the memory over the second half of the clips."""
    places, sizes = [], []
    done = 0
    while done < samples:
        for index in range(len(dataset)):
            done += len(dataset[index][1])
        dataset.on_epoch_end()
        places.append(done)
        sizes.append(_resident())
        progress("samples", min(done, samples), samples)
    half = len(places) // 2
    return float(np.polyfit(places[half:], sizes[half:], 1)[0] * 1000 / 2**20) if half > 1 else 0.0


def _resident():
    """Bytes of memory that the process holds."""
    return int(_MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _write_videos(folder, count):
    """Videos of a texture that moves, 320 x 240, 90 frames."""
    cv2 = opencv()
    folder.mkdir(parents=True, exist_ok=True)
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
