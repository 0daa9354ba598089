"""Where the frames of a stream come from: files, cameras, lines of JSON."""

import json
import threading

import numpy as np
import pytest

import hostile
from keras_actrec.data import VideoError
from keras_actrec.data.live import CameraSource, LineSource, open_source
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


class Camera:
    """As a `VideoCapture`, with frames that come when they are let through."""

    def __init__(self, frames, opened=True):
        self.frames, self.opened, self.released = iter(frames), opened, False
        self.gate, self.came = threading.Semaphore(0), threading.Semaphore(0)

    def isOpened(self):
        return self.opened

    def read(self):
        self.came.release()  # the one before is taken over
        self.gate.acquire()
        frame = next(self.frames, None)
        return frame is not None, frame

    def release(self):
        self.released = True

    def let(self, count):
        for _ in range(count):
            self.came.acquire()
            self.gate.release()
        self.came.acquire()
        self.came.release()


def frames(count):
    return [np.full((2, 2, 3), (number, 0, 255), "uint8") for number in range(count)]


def test_frames_of_a_camera_that_come_too_fast_are_dropped_and_counted():
    camera = Camera(frames(8))
    source = CameraSource("0", lambda: camera)
    stream = iter(source)
    camera.let(1)
    assert next(stream)[1][0, 0].tolist() == [255, 0, 0]  # RGB
    camera.let(5)
    seconds, frame = next(stream)
    assert frame[0, 0, 2] == 5 and source.dropped == 4 and seconds >= 0
    camera.let(2)
    for _ in range(1):  # the end
        camera.gate.release()
    assert [frame[0, 0, 2] for _, frame in stream] == [7]
    assert source.dropped == 5
    source.close()
    assert camera.released


def test_a_camera_that_is_closed_is_let_go():
    camera = Camera(frames(100))
    source = CameraSource("0", lambda: camera)
    camera.let(1)
    camera.gate.release()
    source.close()
    assert camera.released


def test_cameras_without_frames_are_one_line():
    camera = Camera([], opened=False)
    with pytest.raises(UserError, match=r"^7 does not open: check the camera's number or address$"):
        CameraSource("7", lambda: camera)
    assert camera.released
    camera = Camera([])
    camera.gate.release()
    with pytest.raises(UserError, match="^0 opens but gives no frame: check the camera$"):
        next(iter(CameraSource("0", lambda: camera)))


def test_a_password_is_in_no_message():
    with pytest.raises(UserError, match=r"^rtsp://…@host/live does not open") as found:
        CameraSource("rtsp://me:secret@host/live", lambda: Camera([], opened=False))
    assert "secret" not in str(found.value)
    with pytest.raises(UserError, match=r"^http://…@host/a: streams of the network are rtsp://"):
        open_source("http://me:secret@host/a")


def test_no_frame_of_a_file_is_dropped(tmp_path):
    source = open_source(str(hostile.write(tmp_path / "a.mp4")))
    found = list(source)
    assert source.fps == 10 and source.dropped == 0
    np.testing.assert_allclose([seconds for seconds, _ in found], np.arange(hostile.FRAMES) / 10, atol=1e-6)
    assert hostile.numbers([frame for _, frame in found]) == list(range(hostile.FRAMES))


def test_a_folder_of_frames_has_the_rate_that_is_given(tmp_path):
    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((4, 4, 3), "uint8"))
    assert [seconds for seconds, _ in open_source(str(tmp_path), fps=4)] == [0, 0.25, 0.5]
    assert open_source(str(tmp_path)).fps == 30


def test_files_that_cannot_be_used_are_one_line(tmp_path):
    with pytest.raises(VideoError, match="file not found; check the path"):
        open_source(str(tmp_path / "none.mp4"))
    hostile.half_an_avi(tmp_path / "half.avi")
    with pytest.raises(VideoError, match="claimed frames decode"):
        list(open_source(str(tmp_path / "half.avi")))


def test_lines_are_frames():
    lines = [json.dumps([[1, 2, 3]]), "", json.dumps({"time": 0.5, "frame": [[[4, 5, 6]]]}), "[[7, 8, 9]]"]
    found = list(LineSource(lines, 3, fps=10))
    assert [seconds for seconds, _ in found] == [0, 0.5, 0.2]
    assert [frame.tolist() for _, frame in found] == [[[[1, 2, 3]]], [[[4, 5, 6]]], [[[7, 8, 9]]]]


@pytest.mark.parametrize(
    "line", ["{", "[1]", "[[[[1]]]]", '[["a"]]', "[[1, 2], [3]]", '{"time": 1}', "[[NaN]]"]
)
def test_other_lines_are_named(line):
    with pytest.raises(UserError, match="^line 2 is no frame: write a JSON list of numbers, with 3 levels$"):
        list(LineSource(["[[1, 2, 3]]", line], 3))


def test_no_line_is_an_error():
    with pytest.raises(UserError, match="standard input has no frame"):
        list(LineSource(["\n"], 3))
