"""A study on several workers: KerasTuner's chief and workers, as processes that are kept alive.

The chief holds the oracle and answers over gRPC; a worker asks it for a trial, runs it and tells the result.
The directory of the study must be seen by all of them. KerasTuner has no heartbeat: what runs on a worker
that died stays with its name until a worker of that name asks again. So names are stable here, a process that
ends with an error is started again under its own, and the chief is ended when the work has.
"""

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_actrec._children import end_with_parent
from keras_actrec._files import is_disk_full, write_json
from keras_actrec._locks import LOCK, alone_in
from keras_actrec._signals import Terminated, raising
from keras_actrec.errors import DiskFullError, UserError
from keras_actrec.tuning import report as reports
from keras_actrec.tuning.space import import_keras_tuner
from keras_actrec.tuning.study import Study, read_study
from keras_actrec.tuning.study_run import (
    BadDataError,
    DeadlinePassed,
    StudyRun,
    WorkerProcess,
    cause,
    last_line,
)
from keras_actrec.tuning.trial import CANNOT_READ, CANNOT_WRITE, wait_for_parent

_LOOK = 0.3  # seconds between looks at the processes
_PATIENCE = 600  # seconds that a worker waits for the chief to open the study
_DEATHS = 5  # of one process, without a trial that ended in between, before the study gives up


class LostChiefError(UserError):
    """The chief of a study does not answer."""


def run_role(
    study: Study,
    data: str | Path,
    out: str | Path,
    role: str,
    address: str,
    *,
    worker_id: str | None = None,
    resume: bool = False,
    progress: Callable[..., Any] | None = None,
) -> Path | None:
    """Run the chief of a study, or one of its workers, on this machine.

    Start one chief and any number of workers, in any order, with the same study and directory. A worker that
    died is started again under the id that it had (a Slurm array's index, a Kubernetes pod's name): it
    goes on with its trial. A chief that died is started again with `resume=True`.

    Args:
        study: a `Study`.
        data: as of `run_study`.
        out: the study's directory, on a file system that all machines share.
        role: `"chief"` or `"worker"`.
        address: `"host:port"` of the chief.
        worker_id: name of this worker, one that no other one has.
        resume: for the chief, as of `run_study`.
        progress: as of `run_study`.

    Raises:
        UserError: as of `run_study`; a role, an address or a name that is none; where a worker has waited ten
            minutes for the chief to open the directory.
    """
    import_keras_tuner()
    _split(address)
    run = StudyRun(study, Path(data).absolute(), Path(out).absolute(), progress=progress)
    if role == "worker":
        name = _checked_name(worker_id)
        _await_study(run)
        with alone_in(run.out, f"{name} of this study", name=f"{LOCK}-{name}"):
            _work(run, address, name)
        return None
    if role != "chief":
        raise UserError(f"role must be 'chief' or 'worker'. Received: role={role!r}")
    if worker_id is not None:
        raise UserError(f"a chief has no id. Received: worker_id={worker_id!r}")
    with alone_in(run.out, "running a study in it"):
        run.open(resume)
        return run.finish(lambda: _supervise(run, address))


def _await_study(run: StudyRun) -> None:
    """Wait until the chief has opened the directory, which is to be empty when it does."""
    end = time.monotonic() + _PATIENCE
    while not (run.out / "study.toml").exists():
        if time.monotonic() > end:
            raise UserError(
                f"no chief has opened a study in {run.out} for {_PATIENCE} seconds: "
                "start it, and give all the same --out"
            )
        time.sleep(_LOOK)


def search_with_workers(run: StudyRun) -> None:
    """Run the trials of a study with a chief and workers on this machine, until all have ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _supervise(run, f"127.0.0.1:{port}")


@dataclass
class _Process:
    """A chief or worker and the process that it is at the moment."""

    job: Path
    child: WorkerProcess
    done: bool = False
    deaths: int = 0
    ended: int = 0  # trials that had ended when it last died

    @classmethod
    def begin(cls, run: StudyRun, name: str, address: str) -> "_Process":
        job = run.out / "processes" / f"{name}.json"
        about = {"name": name, "address": address, "workers": run.workers, "deadline": run.deadline}
        write_json(job, {**about, "data": str(run.data), "out": str(run.out)})
        return cls(job, _start(job))

    def look(self, run: StudyRun) -> None:
        """Start it again where it ended with an error."""
        status = self.child.process.poll()
        if status is None or self.done:
            return
        self.child.close()
        self.done = status == 0
        if status in (CANNOT_READ, CANNOT_WRITE):
            raise UserError(f"{self.job.stem}: {last_line(self.job.with_suffix('.txt'))}")
        if not self.done:
            self.revive(run)

    def revive(self, run: StudyRun) -> None:
        ended = run.count_ended()
        self.deaths = self.deaths + 1 if ended == self.ended else 1
        self.ended, self.done = ended, False
        if self.deaths > _DEATHS:
            log = self.job.with_suffix(".txt")
            why = cause(self.child.process.returncode, log)
            raise UserError(f"{self.job.stem} died {_DEATHS} times in a row ({why}): see {log}")
        self.child = _start(self.job)


def _start(job: Path) -> WorkerProcess:
    return WorkerProcess("distributed", job, job.with_suffix(".txt"))


def _supervise(run: StudyRun, address: str) -> None:
    """Keep a chief and the study's workers alive until their work has ended.

    Where the workers are on other machines, the chief ends by itself when it has sent all of them away.
    """
    processes = []
    try:
        for name in ("chief", *(run.workers or ())):
            processes.append(_Process.begin(run, name, address))
        chief, *rest = processes
        told = 0
        while not all(process.done for process in rest or [chief]):
            run.check_time()
            for process in processes:
                process.look(run)
            ended = run.count_ended()
            if ended != told:
                run.progress("trials", ended, run.study.max_trials, "")
                told = ended
            if chief.done and not all(process.done for process in rest):
                chief.revive(run)  # a worker that died after its last trial has not been told that it was
            time.sleep(_LOOK)
    except (KeyboardInterrupt, Terminated):
        for process in processes[1:]:
            process.child.process.terminate()  # all at once: they keep what they have side by side
        for process in processes[1:]:
            process.child.close(gently=True)
        raise
    finally:
        for process in processes:
            process.child.close()


def _work(run: StudyRun, address: str, name: str) -> None:
    """Run trials that the chief gives, until it has no more; or, named `chief`, be it."""
    import grpc

    from keras_actrec.tuning._search import search

    host, port = _split(address)
    run.worker = name
    named = {
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": host,
        "KERASTUNER_ORACLE_PORT": port,
        "no_grpc_proxy": host,  # gRPC asks the proxy of `http_proxy` for 127.0.0.1 too, and waits for an hour
    }
    before = {key: os.environ.get(key) for key in named}
    os.environ.update(named)
    try:
        search(run)
    except DeadlinePassed:
        run.progress("trials", run.count_ended(), run.study.max_trials, "the time of the study is up")
    except grpc.RpcError as error:
        raise LostChiefError(
            f"{name} has lost the chief at {address} ({error.code().name}): start both again under their ids"
        ) from error
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        reports.write_trials(run.study, run.out)


def _split(address: str) -> tuple[str, str]:
    host, colon, port = str(address).rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UserError(f"the address must be host:port, such as node7:8000. Received: {address!r}")
    return host, port


def _checked_name(name: str | None) -> str:
    # KerasTuner takes every name with "chief" in it for the chief.
    if not name or "chief" in name or not re.fullmatch(r"[\w.-]+", name):
        raise UserError(
            "a worker needs an id of letters, digits and -, without the word chief, such as worker-3. "
            f"Received: {name!r}"
        )
    return name


def main() -> None:
    """Runs the chief or worker whose job is in the file that the command line names."""
    end_with_parent(wait_for_parent)
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(job["out"])
    run = StudyRun(
        read_study(out / "study.toml"), Path(job["data"]), out, job["deadline"], workers=job["workers"]
    )
    try:
        with raising():
            _work(run, job["address"], job["name"])
    except LostChiefError as error:
        print(error, flush=True)
        sys.exit(1)  # the study starts whoever died again
    except BadDataError as error:
        print(error, flush=True)
        sys.exit(CANNOT_READ)
    except (OSError, UserError) as error:  # it would be no better if it were started again
        full = DiskFullError(getattr(error, "path", out), "with --resume goes on")
        print(full if is_disk_full(error) else error, flush=True)
        sys.exit(CANNOT_WRITE)
