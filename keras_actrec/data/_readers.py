"""One interface to what frames come out of: a video by OpenCV or PyAV, a `.seq` file, a folder of images."""

import hashlib
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np

from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.data._mp4 import cover_comes_first, shown_share
from keras_actrec.data._opencv import FORMATS, opencv
from keras_actrec.data._seq import SeqReader
from keras_actrec.data._shards import SHARD, member_of, members, opened, shard_of
from keras_actrec.data._video_error import VideoError
from keras_actrec.data._whole import asf_seconds, is_whole
from keras_actrec.errors import UserError


class Reader(Protocol):
    """A source of frames, one after the other.

    Attributes:
        claimed: number of frames by the header, 0 where it says nothing.
        fps: frames a second by the header, 0 where it says nothing.
        time: time stamp of the grabbed frame in seconds, `None` without time stamps.
        lazy: whether a grabbed frame is not decoded yet.
        hint: what to do about a damaged source.
    """

    claimed: int
    fps: float
    time: float | None
    lazy: bool
    hint: str

    def grab(self) -> bool:
        """Goes on to the next frame and tells whether it exists."""
        ...

    def retrieve(self) -> np.ndarray | None:
        """The grabbed frame, uint8 `(H, W, 3)`, RGB, or `None` where it does not decode."""
        ...

    def complete(self, frames: int) -> bool:
        """After the last frame: whether this many, fewer than claimed, are all that the file should have."""
        ...


VIDEO_SUFFIXES = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".seq", ".ts", ".webm", ".wmv"),
    *(".3g2", ".3gp", ".asf", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".mjpeg", ".mpe", ".mts", ".mxf"),
    *(".nut", ".ogv", ".qt", ".vob", ".y4m"),
)
_MOST_PIXELS = 1 << 26  # of a frame of a video; of an image, see `_opencv`
FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def open_video(path: PathLike, decoder: str) -> Reader:
    """The reader for a file or a folder of frames; `VideoError` where there is nothing to read."""
    if decoder not in _DECODERS:
        raise UserError(f"`decoder` must be one of {', '.join(_DECODERS)}. Received: decoder={decoder!r}")
    path = Path(path)
    try:
        if path.is_dir():
            return _FrameFolder(path)
        if shard_of(path) is None and not stat.S_ISREG(path.stat().st_mode):
            raise VideoError(path, "unreadable", "neither a file nor a folder; remove it")
        with opened(path) as file:
            if not file.read(1):
                raise VideoError(path, "unreadable", "the file has zero bytes; get it again or remove it")
    except FileNotFoundError as error:
        reason = "a link to a file that does not exist" if path.is_symlink() else "file not found"
        raise VideoError(path, "unreadable", f"{reason}; check the path") from error
    except OSError as error:
        reason = f"it cannot be read ({error.strerror}); mend that or remove it"
        raise VideoError(path, "unreadable", reason) from error
    if path.suffix.lower() == ".seq":
        return SeqReader(path)
    if path.suffix.lower() == SHARD:
        reason = f"a tar file of {len(members(path))} files, and no video; name one in it"
        raise VideoError(path, "unreadable", reason)
    return _DECODERS[decoder](path)


def clock_of(path: PathLike) -> tuple[float, list[float]]:
    """Frames a second of a video, 0 where it has no rate, and where they come unevenly the seconds of each.

    Raises:
        VideoError: for a file that does not open.
    """
    reader = open_video(path, "opencv")
    if not isinstance(reader, _Video) or reader.even():
        return reader.fps, []
    times = []
    while reader.grab():
        times.append(reader.time or 0.0)
    return reader.fps, [time - times[0] for time in times]


class _Video:
    path: Path
    claimed: int
    fps: float
    lazy = False
    hint = "re-encode it with ffmpeg or remove it"
    time: float | None = 0.0  # of the last frame
    seconds = 0.0  # of the latest so far

    def complete(self, frames: int) -> bool:
        """Whether the header's count is wrong, not the file.

        An mp4 counts the frames that its edit list hides. Matroska, MPEG-TS and the like have no count, and
        AVI counts pauses: for these `claimed` is length times rate, and the time of the last frame decides.
        Where sound or subtitles last longer than the picture, the picture's packets in a whole file decide.
        """
        share = shown_share(self.path)
        if share is None:
            enough = 10 * self.seconds * self.fps >= 9 * self.claimed
        else:
            enough = 10 * frames >= 9 * self.claimed * share
        return enough or (is_whole(self.path) and 10 * frames >= 9 * len(self._packets()))

    def even(self) -> bool:
        """Whether frames come at the rate of the header, as far as the packets tell."""
        times = sorted(self._packets())
        return all(abs((time - times[0]) * self.fps - number) < 0.5 for number, time in enumerate(times))

    def _packets(self) -> list[float]:
        """Seconds of the pieces of compressed picture that the file has, a frame each."""
        raise NotImplementedError

    def _note(self, time: float) -> None:
        self.time, self.seconds = time, max(self.seconds, time)

    def _refuse(self, program: str) -> NoReturn:
        reason = f"{program} cannot open it (damaged, no video track, or not a video); {self.hint}"
        raise VideoError(self.path, "unreadable", reason)

    def _check_size(self, width: float, height: float) -> None:
        if width * height > _MOST_PIXELS:
            reason = f"its frames claim {width:.0f} x {height:.0f} pixels; {self.hint}"
            raise VideoError(self.path, "unreadable", reason)


class _OpenCV(_Video):
    def __init__(self, path: Path) -> None:
        cv2 = opencv()
        self.path = path
        self._capture = cv2.VideoCapture(_plain_name(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self._refuse("OpenCV")
        get = self._capture.get
        self._check_size(get(cv2.CAP_PROP_FRAME_WIDTH), get(cv2.CAP_PROP_FRAME_HEIGHT))
        self._ahead = self._capture.grab()  # the first frame, of which we ask whether it decodes
        # streams without a count give a negative number
        self.fps = _finite(get(cv2.CAP_PROP_FPS))
        count = max(0, int(get(cv2.CAP_PROP_FRAME_COUNT)))
        self.claimed = count or round(asf_seconds(path) * self.fps)

    def _packets(self) -> list[float]:
        cv2 = opencv()
        packets = cv2.VideoCapture(_plain_name(self.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        return [packets.get(cv2.CAP_PROP_POS_MSEC) / 1000 for _ in iter(packets.grab, False)]

    @property
    def decodes(self) -> bool:
        """Whether there is a first frame that can be shown; to be asked before it is grabbed.

        Of a picture that begins long after the sound OpenCV does not know the form of its pixels.
        """
        return bool(self._ahead and self._capture.retrieve()[0])

    @property
    def codec(self) -> str:
        """Four characters that name it."""
        name = int(self._capture.get(opencv().CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        return printable(name.decode("latin-1").strip("\0 "))

    def grab(self) -> bool:
        if not (self._ahead or self._capture.grab()):
            return False
        self._ahead = False
        self._note(self._capture.get(opencv().CAP_PROP_POS_MSEC) / 1000)
        return True

    def retrieve(self) -> np.ndarray | None:
        found, frame = self._capture.retrieve()
        return opencv().cvtColor(frame, opencv().COLOR_BGR2RGB) if found else None


class _PyAV(_Video):
    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as error:
            raise UserError(
                "decoder='pyav' needs the extra `pyav`: pip install 'keras_actrec[pyav]'"
            ) from error
        self.path = path
        try:
            container = _open_av(path)
        except av.error.FFmpegError:
            self._refuse("PyAV")
        stream = _picture(container)
        if stream is None:
            self._refuse("PyAV")
        if stream.codec_context is None:  # of a codec that PyAV does not know
            self._refuse("PyAV")
        self._check_size(stream.width, stream.height)
        stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}  # of frames that grow later
        self.fps = _finite(stream.average_rate or stream.guessed_rate or 0)
        self.claimed = max(0, stream.frames)
        if not self.claimed and container.duration:  # as OpenCV does it
            self.claimed = max(0, math.floor(container.duration / av.time_base * self.fps + 0.5))
        self.claimed = self.claimed or round(asf_seconds(path) * self.fps)
        self._begin = (stream.start_time or 0) * stream.time_base
        self._error = av.error.FFmpegError
        self._frames = self._decode(container, stream, self._error)

    def _packets(self) -> list[float]:
        with _open_av(self.path) as container:
            stream = _picture(container)
            try:
                packets = [packet.pts for packet in container.demux(stream) if packet.size > 0]
            except self._error:
                packets = [None] * self.claimed
            return [float((time or 0) * stream.time_base) for time in packets]

    @staticmethod
    def _decode(container: Any, stream: Any, error: type[Exception]) -> Iterator[Any]:
        try:
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except error:  # of one damaged packet: what follows may be whole
                    continue
        except (error, IndexError):  # IndexError: a stream that damage has made up
            return

    def grab(self) -> bool:
        self._frame: Any = next(self._frames, None)
        if self._frame is None:
            return False
        if self._frame.time is not None:
            self._note(float(self._frame.time - self._begin))
        return True

    def retrieve(self) -> np.ndarray | None:
        try:
            frame = self._frame.to_ndarray(format="rgb24")
        except (self._error, ValueError):
            return None
        return np.ascontiguousarray(np.rot90(frame, self._frame.rotation // 90))


def _picture(container: Any) -> Any:
    """The first video that is no cover, a cover where there is nothing else, or None."""
    from av.stream import Disposition

    videos = container.streams.video
    of_time = [each for each in videos if not each.disposition & Disposition.attached_pic]
    return next(iter([*of_time, *videos]), None)


def _open_av(path: Path) -> Any:
    import av

    options = {"format_whitelist": ",".join(FORMATS)}
    return av.open(_plain_name(path), metadata_errors="ignore", options=options)


class _FrameFolder:
    lazy = True
    fps = 0.0
    time: float | None = None
    hint = "extract its frames again or remove it"

    def __init__(self, path: Path) -> None:
        self.files = frame_files(path)
        if not self.files:
            reason = f"the folder has no numbered images ({', '.join(FRAME_SUFFIXES)}); remove it"
            raise VideoError(path, "empty", reason)
        self.claimed = len(self.files)
        self._index = -1

    def grab(self) -> bool:
        self._index += 1
        return self._index < len(self.files)

    def retrieve(self) -> np.ndarray | None:
        cv2 = opencv()
        try:
            data = np.fromfile(self.files[self._index], "uint8")
            frame = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        except (OSError, cv2.error):  # cv2.error: more pixels than OpenCV reads
            return None
        return None if frame is None else cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def complete(self, frames: int) -> bool:
        return False


def _opencv_or_pyav(path: Path) -> Reader:
    """OpenCV's reader, and PyAV's for what OpenCV cannot read.

    It has no decoder for some codecs, such as AV1 in OpenCV 5.0, and takes a cover that comes first for the
    video.
    """
    try:
        reader = _OpenCV(path)
    except VideoError:
        try:
            return _PyAV(path)
        except UserError:
            pass
        raise
    cover = cover_comes_first(path)
    if reader.decodes and not cover:
        return reader
    try:
        return _PyAV(path)
    except VideoError:
        return reader
    except UserError:  # it is not installed
        why = (
            "OpenCV takes its cover for the video, PyAV does not"
            if cover
            else f"OpenCV may have no decoder for {reader.codec or 'it'}, PyAV has more"
        )
        reader.hint = f"{why}: pip install 'keras_actrec[pyav]', re-encode it with ffmpeg, or remove it"
        return reader


_DECODERS: dict[str, Callable[[Path], Reader]] = {"opencv": _opencv_or_pyav, "pyav": _PyAV}


def is_frame(name: str) -> bool:
    """Whether a file of this name is a numbered image."""
    stem, suffix = os.path.splitext(name)
    return suffix.lower() in FRAME_SUFFIXES and stem[-1:].isdecimal() and not name.startswith(".")


def is_pose_frame(name: str) -> bool:
    """Whether a file of this name is one of OpenPose: the joints in one frame."""
    return re.search(r"\d_keypoints\.json$", name) is not None and not name.startswith(".")


def frame_files(folder: PathLike, is_one: Callable[[str], bool] = is_frame) -> list[Path]:
    """The numbered images of a folder in the order of their numbers, see `numbered_files`."""
    return list(numbered_files(folder, is_one).values())


def numbered_files(folder: PathLike, is_one: Callable[[str], bool]) -> dict[int, Path]:
    """The numbered files of a folder by number, in order; everything else in it is passed over.

    Args:
        folder: the folder.
        is_one: tells their names: `is_frame` for images, `is_pose_frame` for files of joints.

    Raises:
        VideoError: for two of one number, and for a pipe or a device, of which reading might never end.
    """
    numbered: dict[int, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        if is_one(path.name):
            if path.exists() and not path.is_file():
                reason = f"{printable(path.name)} in it is no regular file; remove it"
                raise VideoError(folder, "unreadable", reason)
            twin = numbered.setdefault(int(re.findall(r"\d+", path.stem)[-1]), path)
            if twin != path:
                reason = f"{printable(twin.name)} and {printable(path.name)} have the same number"
                what = "images of one video" if is_one is is_frame else "files of one recording"
                raise VideoError(folder, "unreadable", f"{reason}; keep the {what} only")
    return dict(sorted(numbered.items()))


def _frames_in(folder: Path) -> list[Path]:
    """Its numbered images, else its numbered files of joints."""
    return frame_files(folder) or frame_files(folder, is_pose_frame)


def stamp(path: PathLike) -> tuple[int, int]:
    """Size in bytes and time of change in ns of a file, or of a folder of frames as a whole.

    A video in a tar file has the time of change of that file.
    """
    path = Path(path)
    member = member_of(path)
    if member is not None:
        return member.size, member.shard.stat().st_mtime_ns
    files = _frames_in(path) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    changed = max(about.st_mtime_ns for about in [path.stat(), *stats])  # a folder's tells that a frame went
    return sum(about.st_size for about in stats), changed


def content_hash(path: PathLike) -> str:
    """SHA-256 of a file's bytes; of a folder's frames, of their names and bytes.

    Raises:
        OSError: for what cannot be read.
        VideoError: for what is neither a file nor a folder of frames.
    """
    path = Path(path)
    if path.is_dir():
        key = hashlib.sha256()
        for frame in _frames_in(path):
            key.update(repr(frame.name).encode() + hashlib.sha256(frame.read_bytes()).digest())
        return key.hexdigest()
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise VideoError(path, "unreadable", "neither a file nor a folder; remove it")
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain_name(path: PathLike) -> str:
    """The name for FFmpeg, which takes `a` in `a:b` for a protocol, but not in `/folder/a:b`.

    A video in a tar file is a stretch of it, which FFmpeg reads as a file.
    """
    member = member_of(path)
    name = os.path.abspath(path if member is None else member.shard)
    if member is not None:
        name = f"subfile,,start,{member.start},end,{member.start + member.size},,:{name}"
    try:
        name.encode()
    except UnicodeEncodeError as error:  # OpenCV 5.0 would crash, and the process with it
        raise VideoError(path, "unreadable", "its name is not UTF-8; rename it") from error
    return name


def _finite(rate: Any) -> float:
    rate = float(rate)
    return rate if math.isfinite(rate) and rate > 0 else 0.0
