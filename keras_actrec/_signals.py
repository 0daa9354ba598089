"""Ctrl-C and SIGTERM, by which a person, Slurm, Kubernetes or a spot machine asks a program to end."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_actrec.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TERMINATED = 128 + signal.SIGTERM  # the status of a process, as shells count it


class Terminated(SystemExit):
    """SIGTERM has ended the work. Where nobody catches it, the program ends with 143.

    Args:
        line: what was reached, and how to go on.
    """

    def __init__(self, line: str = "") -> None:
        super().__init__(line)
        self.code = TERMINATED


def stop(number: int, line: str = "") -> BaseException:
    """The exception for a signal: `KeyboardInterrupt`, or `Terminated`."""
    return KeyboardInterrupt(line) if number == signal.SIGINT else Terminated(line)


class _First:
    """A handler for the first signal. A second one ends the process at once, also in the middle of C code."""

    def __init__(self, handle: Callable[[int], None]) -> None:
        self.handle = handle
        self.came = False

    def __call__(self, number: int, frame: Any) -> None:
        self.came = True
        for each in SIGNALS:
            if isinstance(signal.getsignal(each), _First):
                signal.signal(each, signal.SIG_DFL)
        self.handle(number)


@contextmanager
def handling(handle: Callable[[int], None]) -> Iterator[None]:
    """Have `handle(number)` called for a signal, in the main thread and where nobody else handles it."""
    first, before = _First(handle), {}
    if threading.current_thread() is threading.main_thread():
        for each in SIGNALS:
            now = signal.getsignal(each)
            if isinstance(now, _First) or now in (signal.default_int_handler, signal.SIG_DFL):
                before[each] = signal.signal(each, first)
    try:
        yield
    finally:
        for each, handler in before.items():
            # Our own one around this block has nothing to do any more: the program ends.
            signal.signal(each, signal.SIG_DFL if first.came and isinstance(handler, _First) else handler)


@contextmanager
def raising() -> Iterator[None]:
    """Have a signal raise its exception wherever the main thread is.

    Where Python ignores exceptions, as in `__del__` and in callbacks of its garbage collector, it is raised
    again a little later. C++ code that calls Python may make an error of its own of it; behind the signal
    such an error is the exception again.
    """
    raised: list[tuple[int, BaseException]] = []

    def handle(number: int) -> None:
        raised.append((number, stop(number)))
        raise raised[-1][1]

    def ignored(about: Any) -> None:
        if raised and about.exc_value is raised[-1][1]:
            number = raised[-1][0]
            signal.signal(number, _First(handle))
            again = threading.Timer(0.01, os.kill, [os.getpid(), number])
            again.daemon = True
            again.start()
        else:
            hook(about)

    hook, sys.unraisablehook = sys.unraisablehook, ignored
    try:
        with handling(handle):
            yield
    except (UserError, OSError):
        raise
    except Exception as error:
        if raised:
            raise raised[-1][1] from error
        raise
    finally:
        sys.unraisablehook = hook
