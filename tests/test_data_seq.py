import struct

import cv2
import numpy as np
import pytest

from keras_actrec.data import VideoError, probe, read_frames
from keras_actrec.data._seq import SeqReader
from keras_actrec.data.decode import iter_timed
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

HEIGHT, WIDTH = 24, 32
# Flat colors (RGB), which survive JPEG: the frame is known by its color.
COLORS = np.array([[200, 20, 20], [20, 200, 20], [20, 20, 200], [120, 120, 20]], "uint8")
FRAMES = np.broadcast_to(COLORS[:, None, None], (4, HEIGHT, WIDTH, 3))


def header(kind, channels, frames, stride=0):
    """As the toolbox writes it: magic, name, version, header size, description, nine numbers, fps, zeros."""
    text = struct.pack("<I", 0xFEED) + "Norpix seq\0\0".encode("utf-16-le") + struct.pack("<ii", 3, 1024)
    text += "No Description".encode("utf-16-le").ljust(512, b"\0")
    size = HEIGHT * WIDTH * channels
    text += struct.pack("<9I", WIDTH, HEIGHT, 8 * channels, 8, size, kind, frames, 0, stride)
    return (text + struct.pack("<d", 25.0)).ljust(1024, b"\0")


def compressed(suffix, kind, pad, claimed=4):
    body = b""
    for number, frame in enumerate(FRAMES):
        image = cv2.imencode(suffix, frame[..., ::-1])[1].tobytes()
        body += struct.pack("<I", len(image) + 4) + image + struct.pack("<IH", number, 40) + b"\0" * pad
    return header(kind, 3, claimed) + body


def uncompressed(claimed=4):
    stride = HEIGHT * WIDTH * 3 + 6 + 506 - (HEIGHT * WIDTH * 3) % 512
    body = b"".join(
        (frame[..., ::-1].tobytes() + struct.pack("<IH", 1, 2)).ljust(stride, b"\0") for frame in FRAMES
    )
    return header(200, 3, claimed, stride) + body


FILES = {
    "jpeg": compressed(".jpg", 201, 10),
    "jpeg, short gaps": compressed(".jpg", 201, 2),
    "png": compressed(".png", 2, 10),
    "raw": uncompressed(),
    "no count": compressed(".jpg", 201, 10, claimed=0),
}


@pytest.fixture(params=FILES)
def seq(request, tmp_path):
    (tmp_path / "a.seq").write_bytes(FILES[request.param])
    return tmp_path / "a.seq"


def test_times_follow_from_the_rate(seq):
    seconds = [second for second, _ in iter_timed(seq, 2, start=1)]
    np.testing.assert_allclose(seconds, [1 / 25, 3 / 25])


def test_all_frames_come_in_order_as_rgb(seq):
    frames = read_frames(seq)
    assert frames.shape == (4, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    np.testing.assert_allclose(frames, FRAMES, atol=4)  # JPEG


def test_frames_are_picked_in_any_order_and_with_repeats(seq):
    frames = read_frames(seq, [3, 0, 3])
    np.testing.assert_allclose(frames, FRAMES[[3, 0, 3]], atol=4)


def test_gray_frames_become_three_equal_channels(tmp_path):
    gray = np.arange(HEIGHT * WIDTH, dtype="uint8").reshape(HEIGHT, WIDTH)
    stride = 1024
    (tmp_path / "a.seq").write_bytes(header(100, 1, 1, stride) + gray.tobytes().ljust(stride, b"\0"))
    np.testing.assert_array_equal(read_frames(tmp_path / "a.seq")[0], np.stack([gray] * 3, axis=-1))


@pytest.mark.parametrize(
    "data, status",
    [
        (b"", "unreadable"),
        (b"\0" * 2000, "unreadable"),
        (b"<html>" * 400, "unreadable"),
        (header(101, 3, 4, 512) + b"\0" * 4000, "unreadable"),
        (header(201, 3, 4), "empty"),
        (header(200, 3, 4, 0) + b"\0" * 4000, "empty"),
        (header(201, 3, 4) + b"\0" * 4000, "empty"),
        (FILES["jpeg"][: len(FILES["jpeg"]) // 2 + 512], "truncated"),
        (FILES["raw"][: len(FILES["raw"]) // 2], "truncated"),
        (header(201, 3, 1) + struct.pack("<I", 54) + b"x" * 60, "empty"),
    ],
    ids=[
        "empty",
        "zeros",
        "html",
        "Bayer",
        "no frame",
        "no stride",
        "no length",
        "half jpeg",
        "half raw",
        "noise",
    ],
)
def test_a_file_that_is_not_sound_is_named_with_its_status(data, status, tmp_path):
    (tmp_path / "a.seq").write_bytes(data)
    with pytest.raises(VideoError) as error:
        read_frames(tmp_path / "a.seq")
    assert error.value.status == status and str(tmp_path) in str(error.value)


def test_frames_that_are_not_there_and_bad_indices_are_refused(seq):
    with pytest.raises(VideoError, match="frame 4 was asked for, 4 decode"):
        read_frames(seq, [4])
    for indices in ([], [-1]):
        with pytest.raises(UserError, match="`indices` must be frame numbers from 0"):
            read_frames(seq, indices)
    with pytest.raises(VideoError, match="file not found"):
        read_frames(seq.with_name("b.seq"))


def test_the_reader_goes_frame_by_frame(seq):
    reader = SeqReader(seq)
    colors = []
    while reader.grab():
        colors.append(reader.retrieve()[0, 0])
    np.testing.assert_allclose(colors, COLORS, atol=4)
    assert (reader.claimed, reader.fps) == (4, 25)
    assert probe(seq).frames == 4
