"""OpenCV, quiet, and held to what a video or an image can be."""

import functools
import os
from typing import Any

# OpenCV's FFmpeg reads this once, when the process opens its first video. Bad files are reported by us; who
# sets the variable, or OPENCV_LOG_LEVEL, sees what they say too.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# OpenCV reads this when it is loaded; its own bound, 2^30, is 3 GB.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

# FFmpeg's readers of files that are the video themselves. It chooses by what a file begins with, whatever its
# name, and has others for lists of further files (concat, HLS, DASH, image2, VobSub) and for streams (SDP).
FORMATS = (
    *("mov", "matroska", "avi", "asf", "asf_o", "flv", "gif", "ivf", "mpeg", "mpegts", "mxf", "nut", "ogg"),
    *("rm", "wtv", "dv", "yuv4mpegpipe"),
    *("av1", "h264", "hevc", "m4v", "mjpeg", "mjpeg_2000", "mpegvideo", "obu"),
    *("apng", "bmp_pipe", "gif_pipe", "jpeg_pipe", "png_pipe", "tiff_pipe", "webp_pipe"),
)
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


@functools.cache
def opencv() -> Any:
    """OpenCV, loaded when first needed and without its own messages about bad files.

    Its FFmpeg takes options from the environment alone, whenever a video is opened. What else the process
    opens by it may still be a camera of the network, but no list.
    """
    import cv2

    options = os.environ.get(_OPTIONS, "rtsp_flags;prefer_tcp")  # which is OpenCV's own choice
    if "format_whitelist" not in options:
        os.environ[_OPTIONS] = f"{options}|format_whitelist;{','.join((*FORMATS, 'rtsp'))}"
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
