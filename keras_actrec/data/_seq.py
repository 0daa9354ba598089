"""Frames out of `.seq` files, the container of Piotr Dollár's toolbox (modeled on Norpix's).

A header of 1024 bytes and one image after the other, JPEG, PNG or uncompressed, each followed by a
time stamp. Olympic Sports has them.
"""

import struct

import numpy as np

from keras_actrec._types import PathLike
from keras_actrec.data._opencv import opencv
from keras_actrec.data._shards import opened
from keras_actrec.data._video_error import VideoError

_HEADER = 1024
_RAW, _COMPRESSED = (100, 200), (102, 201, 1, 2)  # gray and color: uncompressed; JPEG and PNG


class SeqReader:
    """A `.seq` file frame by frame, a `Reader` as those of videos (see `_readers`)."""

    lazy = True
    time: float | None = None
    hint = "get it again or convert it"

    def __init__(self, path: PathLike) -> None:
        with opened(path) as file:
            data = memoryview(file.read())
        head = data[:_HEADER]
        if len(head) < _HEADER or head[:24] != struct.pack("<I", 0xFEED) + "Norpix seq".encode("utf-16-le"):
            raise VideoError(path, "unreadable", f"not a .seq file (its header is missing); {self.hint}")
        width, height, bits, _, size, kind, claimed, _, stride = struct.unpack_from("<9I", head, 548)
        if kind in _RAW:
            images = _uncompressed(data, size, stride)
        elif kind in _COMPRESSED:
            images = _compressed(data)
        else:
            raise VideoError(path, "unreadable", f"image format {kind} of .seq files is not read; convert it")
        self.claimed = claimed or len(images)
        (self.fps,) = struct.unpack_from("<d", head, 584)
        self._images = images[: self.claimed]
        self._raw, self._shape = kind in _RAW, (height, width, bits // 8)
        self._index = -1

    def __len__(self) -> int:
        return len(self._images)

    def grab(self) -> bool:
        self._index += 1
        return self._index < len(self)

    def retrieve(self) -> np.ndarray | None:
        return self.frame(self._index)

    def complete(self, frames: int) -> bool:
        return False

    def frame(self, index: int) -> np.ndarray | None:
        """One frame, uint8 `(H, W, 3)`, RGB, or `None` where it does not decode."""
        image = np.frombuffer(self._images[index], "uint8")
        if self._raw:
            if self._shape[2] not in (1, 3) or len(image) != np.prod(self._shape):
                return None
            frame = image.reshape(self._shape)[..., ::-1]  # stored as BGR
            return np.broadcast_to(frame, (*self._shape[:2], 3))
        cv2 = opencv()
        try:
            frame = cv2.imdecode(image, cv2.IMREAD_COLOR)
        except cv2.error:  # more pixels than OpenCV reads
            return None
        if frame is None or frame.shape[:2] != self._shape[:2]:
            return None
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _uncompressed(data: memoryview, size: int, stride: int) -> list[memoryview]:
    """The bytes of the images that are complete, `stride` bytes apart."""
    if not 0 < size <= stride:
        return []
    return [data[start : start + size] for start in range(_HEADER, len(data) - size + 1, stride)]


def _compressed(data: memoryview) -> list[memoryview]:
    """The bytes of the images that are complete, each after its length, which counts itself.

    Between an image's end and the next length lie 8 bytes, or 16 where a file pads them with zeros.
    """
    images: list[memoryview] = []
    position, gap = _HEADER, 8
    while position + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, position)
        if size == 0 and len(images) == 1 and gap == 8:  # the second length: the gaps are the longer ones
            position, gap = position + 8, 16
            continue
        if size <= 4 or position + size > len(data):
            break
        images.append(data[position + 4 : position + size])
        position += size + gap
    return images
