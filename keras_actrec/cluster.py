"""A function mapped over items by the processes of a Ray cluster: the one way in which work goes there.

These are Ray's plain tasks. What a process or a node had in work when it was lost, Ray gives to another one
by itself, and it uses nodes that join. An actor of a lost node would wait, with its tasks, for room on what
is left of the cluster. Ray Data needs pyarrow and pandas, and cuts blocks of its own, so that batches, and
with them roundings, would be others. As an actor would, a process keeps the function, and the model in it,
from one task to the next.
"""

import os
import signal
import socket
import threading
import traceback
import uuid
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import keras_actrec
from keras_actrec._backend_choice import choose_backend, lean_keras
from keras_actrec._locks import LOCK, make_folder
from keras_actrec._signals import SIGNALS, Terminated
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

_T = TypeVar("_T")
Found: TypeAlias = Generator[_T, None, None]  # what is not asked for any more is not worked on: `close` it

_RETRIES = 4  # of a task whose process or node was lost
_AHEAD = 1000  # tasks that may be done, and their answers held, before the one whose turn it is
_LOOK = 1.0  # seconds between looks at signals
_PATIENCE = 10  # seconds that the head of a cluster has for an answer
# How this machine is told to compute, so that nodes do the same, and what says how many threads do it.
_SETTINGS = ("JAX_", "XLA_", "TF_")
_THREADS = ("OMP_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class _Answer(NamedTuple):
    """Of a task: what the function gave or raised, on which host, and a file that is not there."""

    host: str
    value: Any
    error: Exception | None
    missing: str | None


# In a process of a node: the key of a job, its function, and what names the files of an item.
_held: tuple[str, Any, Any] = ("", None, None)


class Threads:
    """Threads of this process, asked as a `Cluster` is.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any
    ) -> Found[tuple[int, Any]]:
        """See `Cluster.map`."""
        with self._begun(function, items) as futures:
            numbers = {future: number for number, future in enumerate(futures)}
            for future in as_completed(futures):
                yield numbers[future], future.result()

    def in_order(
        self, function: Callable[[Any], Any], items: Iterable[Any], *, computes: bool = False, **options: Any
    ) -> Found[Any]:
        """See `Cluster.in_order`."""
        if computes:  # Keras keeps settings, such as the distribution, a thread
            yield from map(function, items)
            return
        with self._begun(function, items) as futures:
            for future in futures:
                yield future.result()

    @contextmanager
    def _begun(self, function: Callable[[Any], Any], items: Iterable[Any]) -> "Iterator[list[Future[Any]]]":
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                yield [pool.submit(function, item) for item in items]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


class Cluster:
    """A Ray cluster, for the time of a `with` block (extra `ray`).

        with keras_actrec.Cluster("node1:6379") as cluster:
            audit_videos(manifest, out="audit.json", cluster=cluster)

    Its nodes need what this machine has: the same versions of Python, of this package, Keras, the backend,
    NumPy and OpenCV, and under the same paths the folders that are read and written. Each CPU of the cluster
    is a process; where there are GPUs, models run on these, in a process each.

    A process computes with as many threads as `OMP_NUM_THREADS` says here, one by default, and has as many
    CPUs. All it finds is, to the bit, what a machine like the nodes finds with as many.

    What a node had in work when it was lost goes to another one. The head node is Ray's own memory: when that
    is lost, Ray ends this process. The same call goes on with what is on disk.

    Args:
        address: `"local"` starts Ray on this machine for the time of the block; `"host:port"` is the cluster
            with this head, of which this machine is a node.

    Raises:
        UserError: Ray is not installed, there is no cluster at this address, or it has another version.
    """

    def __init__(self, address: str) -> None:
        self.address = str(address)
        self._ours = False

    def __enter__(self) -> Self:
        ray = _import_ray()
        if self.address != "local":
            _check_address(self.address)
        if not ray.is_initialized():  # else it is the user's, and stays
            _connect(ray, self.address)
            self._ours = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            _import_ray().shutdown()  # ends what is still running for us, on all nodes
            self._ours = False

    @property
    def has_gpus(self) -> bool:
        """Whether a node has a GPU."""
        return _import_ray().cluster_resources().get("GPU", 0) > 0

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        files: Callable[[Any], Iterable[PathLike]] = lambda item: (),
        computes: bool = False,
    ) -> Found[tuple[int, Any]]:
        """Call a function of each item in some process of the cluster.

        Args:
            function: it is sent once to each process, with all that it holds, such as a Keras model.
            items: what it is called with; they are asked for as they are needed.
            files: the paths that an item is about. One that is here and not on a node is an error.
            computes: whether the function runs a model, which goes to GPUs where there are some.

        Yields:
            The number of an item, from 0 on, and what the function gave, each as it is done.

        Raises:
            UserError: that of the function, or its `OSError`; a node with other versions, or that does not
                see a file; an item with which process after process was lost.
        """
        ray = _import_ray()
        ask = self._asker(ray, function, files, computes)
        coming, running = enumerate(items), dict[Any, tuple[int, Any]]()
        try:
            while True:
                most = self._most(ray, computes)
                while len(running) < most and _in_reach([number for number, _ in running.values()]):
                    number, item = next(coming, (-1, None))
                    if number < 0:
                        break
                    running[ask(item)] = number, item
                if not running:
                    return
                for reference in ray.wait(list(running), timeout=_LOOK)[0]:
                    number, item = running.pop(reference)
                    yield number, _fetch(ray, reference, [*files(item), f"item {number + 1}"][0])
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def in_order(self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any) -> Found[Any]:
        """What `map` finds, in the order of the items."""
        early: dict[int, Any] = {}
        following = 0
        for number, value in self.map(function, items, **options):
            early[number] = value
            while following in early:
                yield early.pop(following)
                following += 1

    def _asker(self, ray: Any, function: Any, files: Any, computes: bool) -> Callable[[Any], Any]:
        """A function that hands an item over to the cluster, and gives the reference of the answer."""
        backend = choose_backend()
        settings = {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}
        threads = _threads() if computes else 1
        settings |= {**dict.fromkeys(_THREADS, str(threads)), "KERAS_BACKEND": backend}
        versions, answer = _portable()
        task = ray.remote(
            num_cpus=threads,
            num_gpus=int(computes and self.has_gpus),
            max_calls=0,  # any number: else a process with a GPU would end with its first task
            max_retries=_RETRIES,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": settings},
        )(answer)
        pickled = ray.cloudpickle.dumps  # so that nothing of ours is loaded before the versions are compared
        parts = [ray.put(pickled((function, files)))]  # in a list: Ray would fetch it for each task
        job = uuid.uuid4().hex, versions(backend), os.getcwd(), computes, parts
        return lambda item: task.remote(job, pickled(item))

    def _most(self, ray: Any, computes: bool) -> int:
        """Tasks to hand over at a time: a process has the next one when it is done with one."""
        resources = ray.cluster_resources()
        threads = _threads() if computes else 1
        processes = computes and resources.get("GPU") or resources.get("CPU", 0) / threads
        return max(2, 2 * int(processes))


@contextmanager
def joined(address: str | None) -> Iterator[Cluster | None]:
    """Yield the cluster at an address, or None without one."""
    if address is None:
        yield None
    else:
        with Cluster(address) as cluster:
            yield cluster


@contextmanager
def token(folder: Path) -> Iterator[Path]:
    """Yield a file in a folder, by which nodes tell that theirs is the same; it is gone behind the block."""
    make_folder(folder)
    path = folder / f"{LOCK}-{uuid.uuid4().hex}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers how it is used
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # else it asks for twelve minutes who is no head
    try:
        import ray
    except ImportError as error:
        raise UserError("a cluster needs Ray: pip install 'keras_actrec[ray]'") from error
    return ray


def _check_address(address: str) -> None:
    """Refuse what is no address, and one where nobody answers: Ray would try for long, and say much.

    So there is no "auto" either: Ray takes the cluster that was last here for it, also one that is gone.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "/" in host:
        raise UserError(
            f"a Ray cluster is local, or the host:port of its head, such as node1:6379. Received: {address!r}"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({error}): start one with ray start --head --port {port}"
        ) from error


def _connect(ray: Any, address: str) -> None:
    options = {"include_dashboard": False} if address == "local" else {}
    before = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", **options)
        # Nothing sets where Ray tells of lost nodes: many lines on stdout, among what commands answer there.
        ray._private.worker.print_to_stdstream = _tell
    except SystemExit as error:  # of Ray's handler of SIGTERM
        raise Terminated from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"Ray cannot be joined at {address} ({reason}): run ray start, of the same version, on each node"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in before.items():  # Ray takes SIGTERM
                signal.signal(each, handler)


def _tell(said: dict[str, Any], *, ignore_prefix: bool) -> None:
    """Make warnings, of a line each, of what Ray has to tell."""
    for text in said["lines"]:
        warnings.warn(f"Ray: {text.strip().partition(chr(10))[0]}", stacklevel=2)


def _threads() -> int:
    """With how many threads a model computes in a process of the cluster."""
    text = os.environ.get("OMP_NUM_THREADS", "1")
    return max(1, int(text)) if text.isdecimal() else 1


def _in_reach(numbers: Collection[int]) -> bool:
    """Whether another item may begin: the oldest one that is not done must not be too far behind."""
    return not numbers or max(numbers) - min(numbers) < _AHEAD


def _fetch(ray: Any, reference: Any, name: PathLike) -> Any:
    """What the function gave in a task, or raise what it raised."""
    try:
        answer = ray.get(reference)
    except ray.exceptions.RayTaskError:  # our mistake
        raise
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{name}: {_RETRIES + 1} processes were lost over it ({reason}); give nodes more memory or fewer "
            "CPUs (ray start --num-cpus 4), or remove the file"
        ) from error
    if not isinstance(answer, _Answer):
        raise UserError("node {}: {} is {}, and here {}: install the same on all nodes".format(*answer))
    if answer.missing is not None and _is_there(answer.missing):
        raise UserError(
            f"{os.path.abspath(answer.missing)} is not there on node {answer.host}: mount its folder there "
            "under the same path, or leave --ray out"
        )
    if answer.error is not None:
        raise answer.error
    return answer.value


def _is_there(path: PathLike) -> bool:
    """Whether there is such a file, or one that it leads into, as into a tar file."""
    return os.path.lexists(path) or any(parent.is_file() for parent in Path(path).parents)


def _answer(job: tuple[Any, ...], pickled: bytes) -> _Answer:
    """In a process of a node: call the job's function."""
    import ray

    global _held
    key, _, _, computes, parts = job
    if _held[0] != key:
        _held = ("", None, None)  # the model of the work before goes first
        if computes:  # Keras has to know our layers
            with lean_keras():
                keras_actrec._load_keras()
        _held = (key, *ray.cloudpickle.loads(ray.get(parts[0])))
    _, function, files = _held
    item, host = ray.cloudpickle.loads(pickled), socket.gethostname()
    missing = next((os.fspath(path) for path in files(item) if not _is_there(path)), None)
    try:
        return _Answer(host, function(item), None, missing)
    except (UserError, OSError) as error:
        if error.__cause__ is not None:  # which pickle leaves behind
            error.add_note("".join(traceback.format_exception(error.__cause__)))
        return _Answer(host, None, error, missing)


def _portable() -> tuple[Callable[[str], dict[str, str]], Callable[[Any, Any], Any]]:
    """Two functions that need nothing of this package where they run: Ray sends local functions whole."""

    def versions(backend: str) -> dict[str, str]:
        """Version of each package that decides about numbers, empty where it is missing."""
        import importlib.metadata
        import sys

        def version(*names: str) -> str:
            for name in names:
                try:
                    return importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    continue
            return ""

        opencv = [f"opencv-{kind}" for kind in ("python", "python-headless", "contrib-python")]
        found = {name: version(name) for name in ("keras_actrec", "keras", backend, "numpy")}
        return {"python": "{}.{}".format(*sys.version_info), **found, opencv[0]: version(*opencv)}

    def answer(job: Any, pickled: Any) -> Any:
        import os
        import socket
        import sys

        if "keras_actrec.cluster" not in sys.modules:  # the first task of this process
            found = versions(os.environ["KERAS_BACKEND"])
            for name, wanted in job[1].items():
                if found[name] != wanted:
                    return socket.gethostname(), name, found[name] or "missing", wanted or "missing"
            if os.path.isdir(job[2]):
                os.chdir(job[2])  # paths may be relative
            import keras_actrec_program  # noqa: F401  (with it, Keras is loaded only where it is needed)
        from keras_actrec import cluster

        return cluster._answer(job, pickled)

    return versions, answer
