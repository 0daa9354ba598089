"""What other people's cameras and programs write: sound that outlasts the picture, codecs, suffixes."""

import struct
import sys
from fractions import Fraction

import numpy as np
import pytest

import hostile
from keras_actrec.data import VideoError, probe, read_frames

pytestmark = pytest.mark.no_backend

av = pytest.importorskip("av", reason="needs PyAV: pip install 'keras_actrec[pyav]'")

FRAMES, RATE = 50, 25
SOUND = {  # suffix: codec of the picture, codec of the sound, options of the container
    "webm": ("libvpx", "libopus", {}),
    "mkv": ("mpeg4", "aac", {}),
    "ts": ("mpeg2video", "mp2", {}),
    "mpg": ("mpeg2video", "mp2", {}),
    "avi": ("mpeg4", "mp2", {}),
    "mov": ("mpeg4", "aac", {}),
    "mp4": ("mpeg4", "aac", {}),
    "fragments.mp4": ("mpeg4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "flv": ("flv", "aac", {}),
    "asf": ("wmv2", "mp2", {}),
    "nut": ("mpeg4", "aac", {}),
}


def write(path, codec, sound=None, options=None, seconds=20, pix_fmt="yuv420p", begin=0):
    """Two seconds of numbered frames from the second `begin` on, and ten times as much sound."""
    with av.open(str(path), "w", options=options or {}) as out:
        picture = out.add_stream(codec, rate=RATE)
        picture.width, picture.height, picture.pix_fmt = hostile.WIDTH, hostile.HEIGHT, pix_fmt
        audio = out.add_stream(sound, rate=48000) if sound else None
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(hostile.barcode(number), format="rgb24")
            frame.pts, frame.time_base = begin * RATE + number, Fraction(1, RATE)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        if audio is not None:
            audio_context = audio.codec_context
            layout, form = audio_context.layout, audio_context.format
            size = audio_context.frame_size or 960
            planes = layout.nb_channels if form.is_planar else 1
            kind = "int16" if form.name.startswith("s16") else "float32"
            silence = np.zeros((planes, size * layout.nb_channels // planes), kind)
            for at in range(0, seconds * 48000, size):
                frame = av.AudioFrame.from_ndarray(silence, format=form.name, layout=layout.name)
                frame.pts, frame.sample_rate, frame.time_base = at, 48000, Fraction(1, 48000)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


@pytest.fixture(scope="module", params=SOUND)
def long_sound(request, tmp_path_factory):
    return write(tmp_path_factory.mktemp("sound") / f"clip.{request.param}", *SOUND[request.param])


@pytest.mark.parametrize("decoder", ["opencv", "pyav"])
def test_sound_that_lasts_longer_than_the_picture_costs_no_frame(long_sound, decoder):
    assert probe(long_sound, decoder=decoder).frames == FRAMES
    assert hostile.numbers(read_frames(long_sound, decoder=decoder)) == list(range(FRAMES))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "ts", "mkv", "avi", "webm"])
def test_a_picture_that_begins_long_after_the_sound_is_shown_whole(tmp_path, suffix):
    path = write(tmp_path / f"clip.{suffix}", *SOUND[suffix], begin=10)
    assert probe(path).frames == FRAMES
    assert hostile.numbers(read_frames(path)) == list(range(FRAMES))


def test_subtitles_that_last_longer_than_the_picture_cost_no_frame(tmp_path):
    """A matroska file whose header claims ten times the length, as that of an hour of subtitles does."""
    path = write(tmp_path / "clip.mkv", "mpeg4")
    data = bytearray(path.read_bytes())
    place = data.index(b"\x44\x89\x88") + 3  # Duration, a float of 8 bytes, in ms
    data[place : place + 8] = np.array(20_000, ">f8").tobytes()
    path.write_bytes(data)
    info = probe(path)
    assert (info.frames, info.claimed_frames) == (FRAMES, 10 * FRAMES)


@pytest.mark.parametrize("decoder", ["opencv", "pyav"])
@pytest.mark.parametrize("suffix", ["webm", "mkv", "flv", "fragments.mp4"])
def test_a_cut_or_overwritten_file_with_long_sound_is_truncated(tmp_path, suffix, decoder):
    path = write(tmp_path / f"clip.{suffix}", *SOUND[suffix])
    data = path.read_bytes()
    for spoiled in (data[: len(data) * 3 // 4], data[: len(data) // 2] + bytes(len(data) // 2)):
        path.write_bytes(spoiled)
        try:
            probe(path, decoder=decoder)
        except VideoError as error:
            assert error.status in ("truncated", "unreadable")
        else:
            assert suffix == "fragments.mp4"  # whose length is that of the fragments that are there


@pytest.mark.parametrize("decoder", ["opencv", "pyav"])
@pytest.mark.parametrize("suffix", ["wmv", "asf"])
def test_a_cut_asf_file_is_truncated_though_its_index_was_at_its_end(tmp_path, suffix, decoder):
    path = write(tmp_path / f"clip.{suffix}", "wmv2")
    data = path.read_bytes()
    assert probe(path, decoder=decoder).frames == FRAMES
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=f" of {FRAMES} claimed frames decode") as caught:
        probe(path, decoder=decoder)
    assert caught.value.status == "truncated"


def test_pictures_that_do_not_decode_in_a_whole_file_are_no_long_sound(tmp_path):
    """Every frame behind the twentieth is zeros, the container is as it was."""
    path = write(tmp_path / "clip.mkv", *SOUND["mkv"])
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets[20:]:
        place = data.index(bytes(packet))
        data[place : place + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(VideoError) as caught:
        probe(path, decoder="pyav")
    assert caught.value.status == "truncated"


@pytest.mark.parametrize("suffix", ["mp4", "webm", "mkv"])
def test_av1_is_read_by_pyav_where_opencv_has_no_decoder(tmp_path, suffix):
    path = write(tmp_path / f"clip.{suffix}", "libsvtav1")
    assert probe(path).frames == FRAMES
    assert hostile.numbers(read_frames(path, [40, 3])) == [40, 3]


def test_without_pyav_the_missing_decoder_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", "libsvtav1")
    capture = hostile.cv2.VideoCapture(str(path), hostile.cv2.CAP_FFMPEG)
    if capture.grab():
        pytest.skip("this OpenCV decodes AV1: OpenCV 5.0 does not")
    monkeypatch.setitem(sys.modules, "av", None)
    message = r"no decoder for AV01.*pip install 'keras_actrec\[pyav\]'"
    with pytest.raises(VideoError, match=message) as caught:
        probe(path)
    assert caught.value.status == "empty" and "\n" not in str(caught.value)


def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body


def with_cover(path, behind):
    """An mp4 whose cover, a black picture, is named before its track or behind it, as iTunes does it."""
    hostile.write(path)
    picture = hostile.cv2.imencode(".png", np.zeros((8, 8, 3), "uint8"))[1].tobytes()
    cover = box(b"ilst", box(b"covr", box(b"data", struct.pack(">II", 14, 0) + picture)))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    about = box(b"udta", box(b"meta", bytes(4) + handler + cover))
    first = 108  # bytes of the movie's header, which stays where it is
    change = (lambda moov: moov + about) if behind else (lambda moov: moov[:first] + about + moov[first:])
    hostile.edit_file(path, "moov", change)  # which lies behind the frames: their places do not change
    return path


@pytest.mark.parametrize("decoder", ["opencv", "pyav"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_cover_is_not_the_video(tmp_path, behind, decoder):
    path = with_cover(tmp_path / "clip.mp4", behind)
    assert probe(path, decoder=decoder).frames == hostile.FRAMES
    assert hostile.numbers(read_frames(path, [40, 3], decoder=decoder)) == [40, 3]


def test_without_pyav_a_cover_that_comes_first_is_told(tmp_path, monkeypatch):
    path = with_cover(tmp_path / "clip.mp4", behind=False)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r"takes its cover for the video.*'keras_actrec\[pyav\]'") as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_a_gif_is_a_video(tmp_path):
    path = write(tmp_path / "clip.gif", "gif", pix_fmt="rgb8")
    assert hostile.numbers(read_frames(path)) == list(range(FRAMES))


def test_a_frame_that_grows_in_mid_video_is_none_for_pyav_and_takes_no_memory(tmp_path):
    """81 million pixels, of which JPEG makes a megabyte, among frames of 4096."""
    small, large = (
        hostile.cv2.imencode(".jpg", np.zeros((side, side), "uint8"))[1].tobytes() for side in (64, 9000)
    )
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number in range(FRAMES):
            packet = av.Packet(large if number == 5 else small)
            packet.pts = packet.dts = number
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, RATE), True
            out.mux(packet)
    read_frames(path, [0], decoder="pyav")
    with hostile.limits(2**27):
        assert probe(path, decoder="pyav").frames == FRAMES - 1
        assert read_frames(path, decoder="pyav").shape == (FRAMES - 1, 64, 64, 3)
    assert probe(path, decoder="opencv").frames >= FRAMES - 1
