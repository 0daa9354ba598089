"""Frame i is frame i, whatever the container, the codec, the rate and the decoder."""

import sys
from fractions import Fraction

import numpy as np
import pytest

import hostile
from keras_actrec.data import VideoError, iter_frames, probe, read_frames
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

av = pytest.importorskip("av", reason="needs PyAV: pip install 'keras_actrec[pyav]'")

FRAMES = 90
UNITS = 600  # of time, a second
FORMATS = {  # name: suffix, codec, consecutive B-frames, whether the rate varies
    "mp4": ("mp4", "libx264", 0, False),
    "mp4 with B-frames": ("mp4", "libx264", 3, False),
    "mp4 with B-frames at a variable rate": ("mp4", "libx264", 3, True),
    "mp4 of MPEG-4 part 2": ("mp4", "mpeg4", 2, False),
    "avi of JPEGs": ("avi", "mjpeg", 0, False),
    "avi with B-frames": ("avi", "mpeg4", 2, False),
    "mkv with B-frames": ("mkv", "libx264", 3, False),
    "mkv with B-frames at a variable rate": ("mkv", "libx264", 3, True),
    "webm": ("webm", "libvpx-vp9", 0, False),
    "webm at a variable rate": ("webm", "libvpx", 0, True),
    "ts with B-frames": ("ts", "libx264", 3, False),
    "ts with B-frames at a variable rate": ("ts", "libx264", 3, True),
}


def write(path, codec, b_frames, varies):
    """Ninety numbered frames; at a variable rate each stays for 8 to 150 ms."""
    times = np.arange(FRAMES) * 20
    if varies:
        times = np.cumsum(np.random.default_rng(0).integers(5, 90, FRAMES))
    options = {"deadline": "realtime"} if codec.startswith("libvpx") else {}
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.width, stream.height = hostile.WIDTH, hostile.HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, UNITS)
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = b_frames
        for number, time in enumerate(times.tolist()):
            frame = av.VideoFrame.from_ndarray(hostile.barcode(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, UNITS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module", params=FORMATS)
def video(request, tmp_path_factory):
    suffix, *about = FORMATS[request.param]
    return write(tmp_path_factory.mktemp("video") / f"clip.{suffix}", *about), *about


@pytest.fixture(params=["opencv", "pyav"])
def decoder(request):
    return request.param


def test_the_file_is_what_its_name_says(video):
    path, _, b_frames, varies = video
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert any(frame.pict_type == av.video.frame.PictureType.B for frame in frames) == (b_frames > 0)
    steps = np.diff([frame.time for frame in frames])[:-1]  # avi has no time for the last of all
    assert (steps.max() > 2 * steps.min()) == varies


def test_frame_i_is_frame_i(video, decoder):
    path, *_ = video
    rng = np.random.default_rng(1)
    for indices in (
        list(range(FRAMES)),
        rng.permutation(FRAMES).tolist(),
        rng.integers(0, FRAMES, 30).tolist(),  # with repeats
        [FRAMES - 1],
        [40, 40, 3],
    ):
        assert hostile.numbers(read_frames(path, indices, decoder=decoder)) == indices
    assert hostile.numbers(read_frames(path, decoder=decoder)) == list(range(FRAMES))


@pytest.mark.parametrize("stride", [1, 2, 7])
def test_strides_and_sequences_count_frames(video, decoder, stride):
    path, *_ = video
    shown = hostile.numbers(list(iter_frames(path, stride, decoder=decoder)))
    assert shown == list(range(0, FRAMES, stride))
    shown = hostile.numbers(list(iter_frames(path, stride, start=11, stop=64, decoder=decoder)))
    assert shown == list(range(11, 64, stride))
    assert hostile.numbers(read_frames(path, [stride, 0], start=80, decoder=decoder)) == [80 + stride, 80]


def test_every_frame_counts_whatever_the_header_claims(video, decoder):
    info = probe(video[0], decoder=decoder)
    assert (info.frames, info.width, info.height) == (FRAMES, hostile.WIDTH, hostile.HEIGHT)


def test_the_decoders_agree(video):
    path, *_ = video
    assert probe(path) == probe(path, decoder="pyav")
    ours, theirs = (read_frames(path, decoder=name).astype(int) for name in ("opencv", "pyav"))
    assert abs(ours - theirs).max() <= 2  # measured: 0, both are FFmpeg


@pytest.mark.parametrize("name", ["mkv with B-frames at a variable rate", "webm at a variable rate"])
def test_a_cut_is_seen_where_the_rate_varies(tmp_path, decoder, name):
    suffix, *about = FORMATS[name]
    path = write(tmp_path / f"clip.{suffix}", *about)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError) as caught:
        probe(path, decoder=decoder)
    assert caught.value.status == "truncated"


def test_pyav_is_silent_about_bad_files(tmp_path, capfd):
    for name in ("garbage", "without_moov", "flipped_bits", "half_an_avi"):
        make, suffix, *_ = hostile.KINDS[name]
        make(tmp_path / (name + suffix))
    capfd.readouterr()
    for path in tmp_path.iterdir():
        try:
            read_frames(path, decoder="pyav")
        except VideoError:
            continue
    assert capfd.readouterr() == ("", "")


def test_another_decoder_is_refused(tmp_path):
    with pytest.raises(UserError, match="`decoder` must be one of opencv, pyav. Received: decoder='decord'"):
        probe(tmp_path, decoder="decord")


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    path = hostile.write(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"needs the extra `pyav`: pip install 'keras_actrec\[pyav\]'"):
        probe(path, decoder="pyav")
