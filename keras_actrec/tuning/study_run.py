"""Where a study runs: its directory, its trials, each in a process of its own, and its time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_actrec._children import ending
from keras_actrec._files import write_json, write_text
from keras_actrec._locks import LOCK
from keras_actrec._signals import Terminated
from keras_actrec._types import silent
from keras_actrec.errors import DiskFullError, UserError
from keras_actrec.training import read_recipe
from keras_actrec.training.folder import RunFolder, changes_no_number
from keras_actrec.training.overrides import read_overrides
from keras_actrec.training.prepare import read_data
from keras_actrec.tuning import report as reports
from keras_actrec.tuning import results
from keras_actrec.tuning.space import SEED, overrides_of
from keras_actrec.tuning.study import Study, read_study
from keras_actrec.tuning.trial import CANNOT_READ, CANNOT_WRITE, failed

# What a study that is gone on with must share; its budget, and how many trials it has, may change.
_SAME = ("recipe", "overrides", "objective", "direction", "oracle", "seed", "repeat", "axes")
# A process of a study loads as little of Keras as a command does, see `lean_keras`.
_START = """
import keras_actrec_program
import keras_actrec
from keras_actrec._backend_choice import lean_keras
with lean_keras():
    keras_actrec._load_keras()
from keras_actrec.tuning.{module} import main
main()
"""
_LOOK = 0.1  # seconds between looks at a trial's process
_GRACE = 15  # seconds that a trial has for a checkpoint; Slurm and Kubernetes kill after thirty


class DeadlinePassed(BaseException):
    """The time of a study is up. No `Exception`: KerasTuner would take it for a failed trial."""


class BadDataError(UserError):
    """A file of the data that cannot be used, which ends a study and is no fault of a trial."""


@dataclass
class StudyRun:
    """Where a study runs: its directory, its data, when its time is up, and by whom.

    `worker` is the name of who runs trials here. Trials that are still with others than `workers` are handed
    out anew when the study goes on; None: the workers are not known, and the trials wait for theirs.
    """

    study: Study
    data: Path
    out: Path
    deadline: float | None = None
    progress: Any = None  # a function, as of `run_study`
    worker: str = "tuner0"
    workers: list[str] | None = None

    def __post_init__(self) -> None:
        self.progress = self.progress or silent
        if self.deadline is None and self.study.budget.study_seconds is not None:
            self.deadline = time.time() + self.study.budget.study_seconds

    def open(self, resume: bool) -> None:
        """Take the directory: an empty one, or, with `resume`, the one of this study."""
        file = self.out / "study.toml"
        if not self.data.exists():
            raise UserError(f"{self.data} does not exist: give the folder or CSV file of the data")
        if file.exists():
            if not resume:
                raise UserError(
                    f"{self.out} holds a study: add --resume to go on with it, or choose another --out"
                )
            before = read_study(file)
            for name in _SAME:
                if _deciding(before, name) != _deciding(self.study, name):
                    raise UserError(f"{self.out} holds a study with another `{name}`: choose another --out")
            self._check_data()
        elif any(not path.name.startswith(LOCK) for path in self.out.glob("*")):
            raise UserError(f"{self.out} is not empty and holds no study: choose another --out")
        elif resume:
            raise UserError(f"{self.out} holds no study to go on with: leave --resume out")
        write_text(file, self.study.to_toml())

    def _check_data(self) -> None:
        """Refuse data that changed since the first trial, with which others could not be compared."""
        for file in sorted(self.out.glob("trials/*/recipe.toml")):
            first = RunFolder.open(file.parent / "run")
            if first.held is not None:
                recipe = read_recipe(file)
                manifest, parts = read_data(recipe.data, self.data)
                first.check_data(manifest.sha256)
                first.check_files(recipe, parts, None)
                break

    def finish(self, search: Callable[[], Any]) -> Path:
        """Run `search`, train the winner, and write the report, also of a study that is stopped."""
        try:
            try:
                search()
                self.train_winner()
            except DeadlinePassed:
                text = "the time of the study is up"
                self.progress("trials", self.count_ended(), self.study.max_trials, text)
            finally:
                reports.write_report(self.study, self.out)
        except DiskFullError as error:
            raise DiskFullError(error.path, "with --resume goes on") from error
        except (KeyboardInterrupt, Terminated) as error:
            line = f"{self.out}: stopped; the same command with --resume goes on"
            raise type(error)(line) from error
        results.check_any_completed(self.out)
        return self.out

    def check_time(self) -> None:
        """Raise `DeadlinePassed` when the study's time is up."""
        if self.deadline is not None and time.time() > self.deadline:
            raise DeadlinePassed

    def count_ended(self) -> int:
        """Number of trials that have a result."""
        return len(list((self.out / "trials").glob("*/result.json")))

    def run_trial(self, name: str, values: dict[str, Any], more: Iterable[str] = ()) -> dict[str, Any]:
        """Run a trial in a process, or go on with it; its result.

        Args:
            name: the trial's number.
            values: dict of axis to value.
            more: further overrides of the recipe.
        """
        overrides = [*overrides_of(values), *more]
        result = self._run(self.out / "trials" / name, values, overrides, test=self.study.table is not None)
        reports.write_trials(self.study, self.out)
        text = result["reason"] or f"{self.study.objective} {result['metrics'][self.study.objective]:.4f}"
        self.progress("trials", self.count_ended(), self.study.max_trials, f"trial {name}: {text}")
        return result

    def train_winner(self) -> None:
        """Train the best configuration again, with each seed of the study."""
        found = results.configurations(self.study, results.read_trials(self.out))
        best = results.best_configuration(self.study, found)
        if best is None:
            return
        first = best.trials[0]
        seeds = self.study.winner_seeds
        for done, seed in enumerate(seeds, 1):
            self.check_time()
            overrides, values = [*best.overrides, f"train.seed={seed}"], {**first.values, SEED: seed}
            folder = self.out / "winner" / first.name / f"seed-{seed}"  # with more trials it may be another
            result = self._run(folder, values, overrides, test=True)
            self.progress("winner", done, len(seeds), result["reason"])

    def _run(self, folder: Path, values: dict[str, Any], overrides: list[str], test: bool) -> dict[str, Any]:
        ended = folder / "result.json"
        if ended.exists():
            return results.read_result(ended)
        recipe = folder / "recipe.toml"
        write_json(folder / "trial.json", {"values": values, "overrides": overrides})
        try:
            write_text(recipe, self.study.recipe_of(overrides).to_toml())
        except DiskFullError:
            raise
        except UserError as error:
            return _end(ended, str(error))
        budget = self.study.budget
        job = {
            "recipe": str(recipe),
            "data": str(self.data),
            "run": str(folder / "run"),
            "cache": str(self.out / "cache"),
            "test": test,
            "objective": self.study.objective,
            "parameters": budget.parameters,
            "result": str(ended),
        }
        write_json(folder / "job.json", job)
        with WorkerProcess("trial", folder / "job.json", folder / "log.txt") as process:
            reason = self._watch(process)
        if ended.exists():
            return results.read_result(ended)
        # What is no fault of the trial:
        if process.returncode == CANNOT_WRITE:
            raise DiskFullError(folder)
        if process.returncode == CANNOT_READ:
            raise BadDataError(last_line(folder / "log.txt"))
        return _end(ended, reason or cause(process.returncode, folder / "log.txt"))

    def _watch(self, process: subprocess.Popen[bytes]) -> str | None:
        """Wait for a trial's process; why it was ended, None where it ended by itself."""
        budget, begun = self.study.budget, time.monotonic()
        while process.poll() is None:
            self.check_time()
            if budget.trial_seconds is not None and time.monotonic() - begun > budget.trial_seconds:
                return f"over budget: longer than budget.trial_seconds={budget.trial_seconds}"
            if budget.trial_memory_mb is not None:
                used = _memory(process.pid)
                if used > budget.trial_memory_mb:
                    return f"over budget: {used:.0f} MB, budget.trial_memory_mb={budget.trial_memory_mb}"
            time.sleep(_LOOK)
        return None


class WorkerProcess:
    """A process of ours for the time of a `with` block, behind which it and its own ones are gone.

    It runs `keras_actrec.tuning.MODULE.main` on the same backend and path. Its standard input is a pipe that
    nobody writes to: it closes with us, also by `kill -9`, and the process ends itself.
    """

    def __init__(self, module: str, job: Path, log: Path):
        environment = {
            **os.environ,
            "KERAS_BACKEND": keras.backend.backend(),
            "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path),
        }
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                _command(module, job),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be ended as one; Ctrl+C comes to us alone
            )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(gently=kind is not None and issubclass(kind, (KeyboardInterrupt, Terminated)))

    def close(self, gently: bool = False) -> None:
        """End the process, and those that it started; where it has ended already their pipes end them.

        Args:
            gently: whether it first gets time to keep what it has done.
        """
        if gently and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()  # type: ignore[union-attr]  # it is a pipe


def _deciding(study: Study, name: str) -> Any:
    """The value of a key of a study; of its overrides those that change numbers."""
    if name != "overrides":
        return getattr(study, name)
    changes = zip(study.overrides, read_overrides(study.overrides, ""), strict=True)
    return [text for text, change in changes if not changes_no_number(change.table, change.key)]


def _command(module: str, job: Path) -> list[str]:
    return [sys.executable, "-P", "-c", _START.format(module=module), str(job)]


def _end(file: Path, reason: str) -> dict[str, Any]:
    write_json(file, failed(reason))
    return failed(reason)


def cause(status: int, log: Path) -> str:
    """Why a process ended without a result, in a line."""
    if status < 0:
        return ending(status) + (" (out of memory?)" if status == -signal.SIGKILL else "")
    return f"{ending(status)}: {last_line(log)}"


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _memory(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it has just ended."""
    statistics = Path(f"/proc/{pid}/statm")
    if statistics.parent.parent.joinpath("self").exists():
        try:
            return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        except (FileNotFoundError, ProcessLookupError):
            return 0
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return float(shown.stdout or 0) * 1024 / 1e6
