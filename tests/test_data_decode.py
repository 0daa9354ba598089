import pickle
import wave
from pathlib import Path

import numpy as np
import pytest

from hostile import HEIGHT, WIDTH, barcode, noise, numbers, write
from keras_actrec.data import Record, VideoError, VideoInfo, index_videos, iter_frames, probe, read_frames
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return write(tmp_path_factory.mktemp("video") / "numbered.mp4", [barcode(number) for number in range(40)])


def test_frame_i_is_frame_i(numbered):
    indices = [39, 0, 7, 7, 23, 1]
    assert numbers(read_frames(numbered, indices)) == indices
    assert numbers(read_frames(numbered, np.array(indices))) == indices


def test_without_indices_every_frame_is_read(numbered):
    frames = read_frames(numbered)
    assert frames.shape == (40, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    assert numbers(frames) == list(range(40))


def test_frames_can_be_had_one_by_one_at_a_stride(numbered):
    assert numbers(np.stack(list(iter_frames(numbered, 6)))) == [0, 6, 12, 18, 24, 30, 36]


def test_colors_are_rgb(tmp_path):
    red = np.broadcast_to(np.array([220, 30, 40], "uint8"), (HEIGHT, WIDTH, 3))
    mean = read_frames(write(tmp_path / "red.mp4", [red] * 3)).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(mean, [220, 30, 40], atol=6)  # the codec's rounding


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v")])
def test_probe_tells_what_the_file_holds(tmp_path, suffix, codec):
    path = write(tmp_path / f"clip.{suffix}", noise(12), codec)
    assert probe(path) == VideoInfo(frames=12, claimed_frames=12, fps=10.0, width=WIDTH, height=HEIGHT)


def test_a_video_of_one_frame_is_a_video(tmp_path):
    path = write(tmp_path / "one.mp4", [barcode(5)])
    assert probe(path).frames == 1
    assert numbers(read_frames(path, [0, 0, 0])) == [5, 5, 5]


def zero_bytes(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(20_000))


def text(path):
    path.write_bytes(b"not a video\n" * 500)


def audio_only(path):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x01" * 8000)


def without_index(path):  # an mp4's table of frames stands at its end
    write(path, noise(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_frames(path):  # the tables are right, the frames are zeros
    write(path, noise(40))
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def half(path):
    write(path.with_suffix(".avi"), noise(40), "MJPG")
    data = path.with_suffix(".avi").read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (lambda path: None, "unreadable", "file not found"),
        (zero_bytes, "unreadable", "the file has zero bytes"),
        (garbage, "unreadable", "cannot open it"),
        (text, "unreadable", "cannot open it"),
        (audio_only, "unreadable", "no video track"),
        (without_index, "unreadable", "damaged"),
        (without_frames, "empty", "no frame decodes"),
        (half, "truncated", r"only \d+ of 40 claimed frames decode"),
    ],
)
@pytest.mark.parametrize("read", [probe, read_frames, lambda path: read_frames(path, [39])])
def test_a_bad_file_is_named_with_its_status(tmp_path, capfd, make, status, message, read):
    path = tmp_path / "clip.mp4"
    make(path)
    capfd.readouterr()
    with pytest.raises(VideoError, match=message) as caught:
        read(path)
    assert caught.value.status == status and caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # OpenCV is silent


def test_the_frames_before_the_cut_can_still_be_read(tmp_path):
    path = tmp_path / "clip.mp4"
    half(path)
    assert read_frames(path, [3, 0]).shape == (2, HEIGHT, WIDTH, 3)


def test_a_frame_behind_the_end_of_a_whole_file_is_refused(numbered):
    with pytest.raises(VideoError, match="frame 40 was asked for, 40 decode") as caught:
        read_frames(numbered, [0, 40])
    assert caught.value.status == "truncated"


@pytest.mark.parametrize("indices", [[], [-1, 3]])
def test_bad_indices_are_refused(numbered, indices):
    with pytest.raises(UserError, match="`indices` must be frame numbers from 0"):
        read_frames(numbered, indices)


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(VideoError(Path("a.mp4"), "empty", "no frame decodes")))
    assert (str(error), error.status, error.path) == ("a.mp4: no frame decodes", "empty", Path("a.mp4"))


@pytest.fixture
def records(tmp_path):
    lengths = {"a": 3, "b": 5, "c": None, "d": 4, "e": None}
    for name, length in lengths.items():
        if length:
            write(tmp_path / f"{name}.mp4", noise(length))
        else:
            garbage(tmp_path / f"{name}.mp4")
    return [Record(tmp_path / f"{name}.mp4", f"{name}.mp4", 0) for name in lengths]


@pytest.mark.parametrize("workers", [1, 4])
def test_bad_files_are_skipped_and_the_order_is_kept(records, workers):
    seen = []
    good, bad = index_videos(
        records, on_error="skip", max_skipped=0.4, workers=workers, progress=lambda *p: seen.append(p)
    )
    assert [(record.path, info.frames) for record, info in good] == [("a.mp4", 3), ("b.mp4", 5), ("d.mp4", 4)]
    assert [(error.path.name, error.status) for error in bad] == [
        ("c.mp4", "unreadable"),
        ("e.mp4", "unreadable"),
    ]
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_the_first_bad_file_stops_the_index_unless_told_to_skip(records):
    with pytest.raises(VideoError, match="c.mp4"):
        index_videos(records, workers=4)


def test_bad_arguments_of_the_index_are_named(records):
    with pytest.raises(UserError, match="`on_error` must be .* Received: on_error='ignore'"):
        index_videos(records, on_error="ignore")
    with pytest.raises(
        UserError, match="`workers` must be a whole number from 1 to 1024. Received: workers=0"
    ):
        index_videos(records, workers=0)
