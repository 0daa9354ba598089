"""The terminal without lines of other libraries."""

import faulthandler
import os
import sys

# Who sets one of these wants to see what the libraries say.
_ASKED = ("TF_CPP_MIN_LOG_LEVEL", "OPENCV_LOG_LEVEL", "OPENCV_FFMPEG_LOGLEVEL")


def keep_stderr_for_python() -> None:
    """Let what is not Python write to nowhere instead of to stderr; once, when a program starts.

    TensorFlow, FFmpeg, libjpeg and others write there past every log level, and some when they are loaded.
    What Python writes to `sys.stderr` still arrives, and where the process crashes, so does Python's stack.
    Nothing changes where the environment sets the log level of TensorFlow or OpenCV.
    """
    if sys.stderr is None or any(name in os.environ for name in _ASKED):
        return
    sys.stderr.flush()
    ours = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = open(ours, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    faulthandler.enable(sys.stderr)
