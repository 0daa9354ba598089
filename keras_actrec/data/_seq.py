"""Frames out of `.seq` files, the container of Piotr Dollár's toolbox (modeled on Norpix's).

A header of 1024 bytes and one image after the other, JPEG, PNG or uncompressed, each with a time stamp behind
it. Olympic Sports has them.
"""

import struct
from pathlib import Path

import numpy as np

from keras_actrec.data._opencv import opencv
from keras_actrec.data._video_error import VideoError

_HEADER = 1024
_RAW, _COMPRESSED = (100, 200), (102, 201, 1, 2)  # gray and color: uncompressed; JPEG and PNG


class SeqReader:
    """A `.seq` file frame by frame, with the methods of the readers of videos (see `_readers`)."""

    lazy, time = True, None
    hint = "get it again or convert it"

    def __init__(self, path):
        data = memoryview(Path(path).read_bytes())
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
        self._place = -1

    def __len__(self):
        return len(self._images)

    def grab(self):
        self._place += 1
        return self._place < len(self)

    def retrieve(self):
        return self.frame(self._place)

    def complete(self, frames):
        return False

    def frame(self, index):
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


def _uncompressed(data, size, stride):
    """The bytes of the images that are there in full, `stride` bytes apart."""
    if not 0 < size <= stride:
        return []
    return [data[start : start + size] for start in range(_HEADER, len(data) - size + 1, stride)]


def _compressed(data):
    """The bytes of the images that are there in full, each behind its length, which counts itself.

    Between an image's end and the next length lie 8 bytes, or 16 where a file pads them with zeros.
    """
    images, place, gap = [], _HEADER, 8
    while place + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, place)
        if size == 0 and len(images) == 1 and gap == 8:  # the second length: the gaps are the longer ones
            place, gap = place + 8, 16
            continue
        if size <= 4 or place + size > len(data):
            break
        images.append(data[place + 4 : place + size])
        place += size + gap
    return images
