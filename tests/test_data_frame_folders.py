import cv2
import numpy as np
import pytest

import hostile
from keras_actrec.data import (
    ClipDataset,
    ClipTransform,
    Record,
    Sampling,
    VideoError,
    VideoInfo,
    index_videos,
    iter_frames,
    probe,
    read_frames,
    read_manifest,
)
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


def test_the_frames_are_in_the_order_of_their_numbers(tmp_path):
    for place, name in enumerate(["img_9.png", "img_10.jpg", "img_0011.JPEG", "img_100.jpg"]):
        encoded = cv2.imencode(name[-4:].lower().replace("jpeg", ".jpg"), hostile.barcode(place))[1]
        (tmp_path / name).write_bytes(encoded.tobytes())
    assert probe(tmp_path) == VideoInfo(frames=4, claimed_frames=4, fps=0.0, width=64, height=48)
    assert hostile.numbers(read_frames(tmp_path)) == [0, 1, 2, 3]
    assert hostile.numbers(read_frames(tmp_path, [3, 0, 0, 2])) == [3, 0, 0, 2]
    assert hostile.numbers(list(iter_frames(tmp_path, 2))) == [0, 2]
    assert hostile.numbers(read_frames(tmp_path, [1, 0], start=2)) == [3, 2]


def test_colors_are_rgb_and_the_rotation_of_a_picture_is_honoured(tmp_path):
    picture = np.broadcast_to(np.array([30, 40, 220], "uint8"), (24, 64, 3))  # OpenCV's red
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    turned = bytes.fromhex(
        "ffe1 0022 457869660000 4d4d002a00000008 0001 0112 0003 00000001 00060000 00000000"
    )
    (tmp_path / "1.jpg").write_bytes(jpeg[:2] + turned + jpeg[2:])
    frame = read_frames(tmp_path)[0]
    assert frame.shape == (64, 24, 3)
    np.testing.assert_allclose(frame.mean(axis=(0, 1)), [220, 40, 30], atol=3)


def test_only_the_frames_that_are_asked_for_are_decoded(tmp_path, monkeypatch):
    hostile.images(tmp_path / "clip")
    decoded, imdecode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(1) or imdecode(*arguments))
    assert hostile.numbers(read_frames(tmp_path / "clip", [11, 2])) == [11, 2]
    assert len(decoded) == 2


def test_a_frame_that_is_damaged_is_the_end(tmp_path):
    path = tmp_path / "clip"
    hostile.images(path, count=20)
    (path / "00020.jpg").write_bytes(b"")
    assert probe(path).frames == 19  # of 20: whole enough
    with pytest.raises(VideoError, match="frame 19 was asked for, 19 decode"):
        read_frames(path, [0, 19])
    with pytest.raises(VideoError, match="frame 30 was asked for, 20 decode"):
        read_frames(path, [30])
    (path / "00001.jpg").write_bytes(b"")
    with pytest.raises(VideoError, match="no frame decodes; extract its frames again") as caught:
        probe(path)
    assert caught.value.status == "empty"


def test_folders_of_frames_are_listed_indexed_and_loaded(tmp_path):
    for name, count in (("a", 6), ("b", 9)):
        hostile.images(tmp_path / name, count)
    (tmp_path / "list.csv").write_text("path,label\na,x\nb,y\n", encoding="utf-8")
    indexed, _ = index_videos(read_manifest(tmp_path / "list.csv").records)
    assert [info.frames for _, info in indexed] == [6, 9]
    clips, labels = ClipDataset(indexed, Sampling(3), ClipTransform(48, crop="none"), batch_size=2)[0]
    assert [hostile.numbers(clip) for clip in clips] == [[1, 3, 5], [1, 4, 7]]
    assert labels.tolist() == [0, 1]


def test_a_clip_of_a_sequence_shows_frames_of_the_sequence(tmp_path):
    hostile.images(tmp_path / "a", 12)
    records = [Record(tmp_path / "a", "a", 0, start=6, stop=12), Record(tmp_path / "a", "a", 1, stop=3)]
    indexed, _ = index_videos(records)
    clips, _ = ClipDataset(indexed, Sampling(3), ClipTransform(48, crop="none"), batch_size=2)[0]
    assert [hostile.numbers(clip) for clip in clips] == [[7, 9, 11], [0, 1, 2]]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (5, 2)])
def test_a_sequence_that_is_none_is_refused(tmp_path, start, stop):
    hostile.images(tmp_path / "a")
    for call in (
        lambda: read_frames(tmp_path / "a", [0], start=start, stop=stop),
        lambda: list(iter_frames(tmp_path / "a", start=start, stop=stop)),
        lambda: index_videos([Record(tmp_path / "a", "a", 0, start=start, stop=stop)]),
    ):
        with pytest.raises(UserError, match=f"below `stop`. Received: start={start}, stop={stop}"):
            call()


def test_frames_beyond_a_sequence_or_its_file_are_refused(tmp_path):
    hostile.images(tmp_path / "a")
    with pytest.raises(UserError, match="`indices` must be below 4, .* from 2 to 6. Received: indices=.4."):
        read_frames(tmp_path / "a", [4], start=2, stop=6)
    for call in (
        lambda: read_frames(tmp_path / "a", start=12),
        lambda: read_frames(tmp_path / "a", start=5, stop=20),
        lambda: list(iter_frames(tmp_path / "a", start=5, stop=20)),
    ):
        with pytest.raises(VideoError, match="12 frames decode, the sequence is from frame"):
            call()
