"""Processes that a program starts, and how they end."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


def end_with_parent(wait: Callable[[], Any]) -> None:
    """End this process when the one that started it is gone, also by `kill -9`.

    Args:
        wait: returns when that has happened, such as a read from a pipe whose other end the parent holds.
    """

    def watch() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def ending(status: int) -> str:
    """How a process ended, from its exit status as `subprocess` gives it."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
