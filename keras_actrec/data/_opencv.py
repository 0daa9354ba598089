"""OpenCV, quiet."""

import functools
import os
from typing import Any

# OpenCV's FFmpeg reads this once, when the process opens its first video. Bad files are reported by us; who
# sets the variable, or OPENCV_LOG_LEVEL, sees what they say too.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@functools.cache
def opencv() -> Any:
    """OpenCV, loaded when first needed and without its own messages about bad files."""
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
