"""Items loaded in processes of their own: fresh interpreters that never load Keras.

`multiprocessing` is not used. What it spawns runs the program's main script again, which loads Keras and a
backend (2-4 s and 300-800 MB each, against 0.4 s and 60 MB), fails where the script has no
`if __name__ == "__main__"`, and lives on when the program is killed. Here a process ends with its pipe.
"""

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from keras_actrec._children import ending
from keras_actrec.data._opencv import opencv
from keras_actrec.errors import UserError

# With `keras_actrec_program`, Keras is not loaded with the package (`-P`: nor a `pickle.py` of the folder
# that the process runs in).
_START = (
    # Ctrl-C, and SIGTERM of Slurm, go to all: the program, which may have a batch to end, ends us.
    "import signal; [signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)]; "
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "import keras_actrec_program; from keras_actrec.data._processes import serve; serve()"
)


class Processes:
    """Calls functions in processes that are started when they are needed, one for each call at a time.

    Pickle goes through pipes between our own processes only.
    """

    def __init__(self) -> None:
        # Reentrant: `close` comes from the garbage collector, which may run in a thread that is in `call`.
        self._lock = threading.RLock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def call(self, function: Callable[..., Any], source: Any, item: Any, *more: Any) -> Any:
        """What `function(source, item, *more)` gives or raises in a process.

        Raises:
            UserError: an item that cannot be sent, or a process that died over it.
        """
        file = item[0].file
        try:
            question = pickle.dumps((function, source, item, *more))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"{file}: cannot be sent to a process ({error}); use functions of a module, or threads"
            ) from error
        with self._lock:
            child = self._idle.pop() if self._idle else _start()
            self._busy.add(child)
        try:
            pickle.dump(question, child.stdin)  # type: ignore[arg-type]  # the pipes are there: see `_start`
            child.stdin.flush()  # type: ignore[union-attr]
            kind, value = pickle.load(child.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self._give_back(child, alive=False)
            raise UserError(
                f"{file}: the process that loaded it was lost ({ending(child.returncode)}); "
                "use fewer workers if memory is short, or remove the file"
            ) from error
        self._give_back(child, alive=True)
        if kind == "value":
            return value
        raise value if kind == "error" else UserError(f"{file}: {value}")

    def close(self) -> None:
        """Ends all processes. A call that is under way fails."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for child in self._busy:
                child.kill()  # its thread does the rest
        for child in idle:
            _stop(child)

    def _give_back(self, child: subprocess.Popen[bytes], alive: bool) -> None:
        with self._lock:
            self._busy.discard(child)
            keep = alive and not self._closed
            if keep:
                self._idle.append(child)
        if not keep:
            _stop(child)


def _start() -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pickle.dump(sys.path, child.stdin)  # type: ignore[arg-type]
    return child


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.kill()  # it holds nothing that could be lost
    child.communicate()  # closes the pipes and waits, so that nothing is left of it


def serve() -> None:
    """Answers calls until none are left; the main function of a process."""
    opencv().setNumThreads(0)  # the items are what runs in parallel
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reader prints must not get among the answers
    while True:
        try:
            question = pickle.load(questions)
        except EOFError:
            return
        answers.write(_answer(question))
        answers.flush()


def _answer(question: bytes) -> bytes:
    try:
        function, *arguments = pickle.loads(question)
    except Exception as error:  # anything: modules are imported here
        reason = f"not known in a process ({error}); use functions of a module that can be imported"
        return pickle.dumps(("reason", reason))
    try:
        value = function(*arguments)
    except UserError as error:
        if error.__cause__ is not None:  # which pickle leaves behind
            error.add_note("".join(traceback.format_exception(error.__cause__)))
        return pickle.dumps(("error", error))
    return pickle.dumps(("value", value), protocol=pickle.HIGHEST_PROTOCOL)
