"""Work on a cluster with a made-up Ray: order, limits, errors. The real one is in `test_cluster_nodes.py`."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest

from keras_actrec import UserError, cluster
from keras_actrec.cluster import Cluster, Threads
from keras_actrec.data import VideoError
from keras_actrec.errors import DiskFullError

pytestmark = pytest.mark.no_backend


class RayError(Exception):
    pass


class FakeRay:
    """Ray in this process: tasks run when their answers are fetched, in the order that `pick` chooses."""

    def __init__(self, cpus=2, pick=lambda waiting: waiting[0], lost=()):
        self.cpus, self.pick, self.lost = cpus, pick, set(lost)
        self.exceptions = SimpleNamespace(
            RayError=RayError, RayTaskError=type("RayTaskError", (RayError,), {})
        )
        self.cloudpickle = SimpleNamespace(dumps=lambda thing: thing, loads=lambda thing: thing)
        self.options, self.asked, self.most, self.cancelled = {}, 0, 0, []

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": self.cpus}

    def put(self, thing):
        return thing

    def remote(self, **options):
        self.options = options

        def ask(function):
            return SimpleNamespace(remote=lambda *arguments: self._begin(lambda: function(*arguments)))

        return ask

    def _begin(self, call):
        self.asked += 1
        return SimpleNamespaceWithHash(call=call, number=self.asked - 1)

    def wait(self, waiting, timeout):
        self.most = max(self.most, len(waiting))
        return [self.pick(waiting)], None

    def get(self, reference):
        if not hasattr(reference, "call"):
            return reference
        if reference.number in self.lost:
            raise RayError("The worker died\nunexpectedly")
        return reference.call()

    def cancel(self, reference, force):
        self.cancelled.append(reference.number)


class SimpleNamespaceWithHash(SimpleNamespace):
    __hash__ = object.__hash__


@pytest.fixture
def fake(monkeypatch):
    def use(**options):
        ray = FakeRay(**options)
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setattr(cluster, "_held", ("", None, None))
        return ray

    return use


def double(item):
    return 2 * item


@pytest.mark.parametrize("pool", [Threads(3), Cluster("local")])
def test_threads_and_a_cluster_map_alike(pool, fake):
    fake(pick=lambda waiting: waiting[-1])
    assert list(pool.in_order(double, range(20))) == list(range(0, 40, 2))
    assert sorted(pool.map(double, range(20))) == [(number, 2 * number) for number in range(20)]
    assert list(pool.in_order(double, [])) == []


def test_what_computes_runs_in_no_thread():
    threads = list(Threads(3).in_order(lambda item: threading.current_thread(), range(3), computes=True))
    assert threads == 3 * [threading.main_thread()]


def test_tasks_are_handed_over_as_there_are_processes(fake):
    ray = fake(cpus=3)
    taken = []
    found = Cluster("local").map(double, (taken.append(item) or item for item in range(1000)))
    assert next(found) == (0, 0)
    assert len(taken) == ray.most == 6  # one that runs and one that comes next, for each of 3
    found.close()
    assert sorted(ray.cancelled) == [1, 2, 3, 4, 5]


def test_a_slow_item_holds_back_no_more_answers_than_a_thousand(fake):
    ray = fake(pick=lambda waiting: waiting[-1] if ray.asked <= 1000 else waiting[0])
    answers = Cluster("local").in_order(double, range(3000))
    assert next(answers) == 0  # which was always left for another, until nothing else may begin
    assert ray.asked == 1001
    assert list(answers) == list(range(2, 6000, 2))


def test_models_compute_with_as_many_threads_as_here(fake, monkeypatch):
    ray = fake(cpus=8)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    for computes, threads in ((True, 4), (False, 1)):
        list(Cluster("local").map(double, range(20), computes=computes))
        settings = ray.options["runtime_env"]["env_vars"]
        assert ray.options["num_cpus"] == threads
        assert (settings["OMP_NUM_THREADS"], settings["JAX_ENABLE_X64"]) == (str(threads), "1")
        assert settings["KERAS_BACKEND"] == os.environ["KERAS_BACKEND"]
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8, "GPU": 2})
    list(Cluster("local").map(double, range(20), computes=True))
    assert ray.options["num_gpus"] == 1


@pytest.mark.parametrize(
    "error", [VideoError("a.mp4", "truncated", "cut", (3, 9)), DiskFullError("x.npy"), OSError(5, "broken")]
)
def test_an_error_of_the_function_is_raised_here(error, fake):
    def fail(item):
        raise error

    fake()
    with pytest.raises(type(error)) as raised:
        list(Cluster("local").map(fail, range(3)))
    assert str(raised.value) == str(error)


def test_a_lost_process_is_no_fault_of_a_file_that_would_be_skipped(fake):
    fake(lost=[3])
    with pytest.raises(
        UserError, match=r"^clips/3.mp4: 5 processes were lost over it \(The worker died un"
    ) as e:
        list(Cluster("local").map(double, range(9), files=lambda item: [f"clips/{item}.mp4"]))
    assert not isinstance(e.value, VideoError)


def test_a_file_that_only_a_node_does_not_see_is_named(fake, tmp_path, monkeypatch):
    here, nowhere = tmp_path / "here.mp4", tmp_path / "nowhere.mp4"
    here.touch()
    fake()
    run = Cluster("local").map(str, [nowhere], files=lambda item: (item,))
    assert list(run) == [(0, str(nowhere))]  # the function says what it makes of it, as on one machine

    def elsewhere(job, pickled):
        return cluster._Answer("node7", None, VideoError(here, "unreadable", "file not found"), str(here))

    monkeypatch.setattr(cluster, "_answer", elsewhere)
    with pytest.raises(UserError, match=f"^{here} is not there on node node7: mount its folder there"):
        list(Cluster("local").map(str, [here], files=lambda item: (item,)))


def test_a_path_into_a_tar_file_is_as_there_as_the_tar_file(fake, monkeypatch, tmp_path):
    shard, seen = tmp_path / "shard-000000.tar", []
    shard.write_bytes(b"")
    inside = shard / "walk" / "a.mp4"
    run = cluster._answer

    def here(job, pickled):
        answer = run(job, pickled)
        seen.append(answer.missing)
        return answer

    fake()
    monkeypatch.setattr(cluster, "_answer", here)
    list(Cluster("local").map(str, [inside], files=lambda item: (item,)))
    list(Cluster("local").map(str, [tmp_path / "gone.tar" / "a.mp4"], files=lambda item: (item,)))
    assert seen == [
        None,
        str(tmp_path / "gone.tar" / "a.mp4"),
    ]  # nor is it here: the function tells
    monkeypatch.setattr(cluster, "_answer", lambda *job: cluster._Answer("node7", "", None, str(inside)))
    with pytest.raises(UserError, match=f"^{inside} is not there on node node7: mount its folder there"):
        list(Cluster("local").map(str, [inside], files=lambda item: (item,)))


@pytest.mark.parametrize("name, wanted", [("python", "2.7"), ("keras_actrec", "99.0"), ("keras", "")])
def test_a_node_with_other_versions_is_refused_before_anything_is_loaded(name, wanted, fake, monkeypatch):
    versions, answer = cluster._portable()
    backend = os.environ["KERAS_BACKEND"]
    found = versions(backend)
    assert set(found) == {"python", "keras_actrec", "keras", backend, "numpy", "opencv-python"}
    assert found["python"] == ".".join(map(str, sys.version_info[:2]))
    with monkeypatch.context() as as_there:
        as_there.delitem(sys.modules, "keras_actrec.cluster")
        refused = answer(("job", {**found, name: wanted}, "/", False, []), b"")
    ray = fake()
    monkeypatch.setattr(ray, "get", lambda reference: refused)
    line = (
        f"^node .*: {name} is {found[name]}, and here {wanted or 'missing'}: install the same on all nodes$"
    )
    with pytest.raises(UserError, match=line):
        list(Cluster("local").map(double, [1]))


def test_without_ray_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"^a cluster needs Ray: pip install 'keras_actrec\[ray\]'$"):
        with Cluster("local"):
            pass


@pytest.mark.parametrize("address", ["", "auto", "node7", "node7:", "ray://node7:10001", ":6379", "node7:x"])
def test_what_is_no_address_is_refused(address, fake):
    fake()
    with pytest.raises(UserError, match="^a Ray cluster is local, or the host:port of its head"):
        with Cluster(address):
            pass


def test_a_cluster_that_is_not_there_is_refused(fake):
    fake()
    with pytest.raises(
        UserError, match=r"^no Ray cluster answers at 127.0.0.1:1 \(.*\): start one with ray start"
    ):
        with Cluster("127.0.0.1:1"):
            pass


def test_what_ray_says_on_joining_becomes_one_line(fake, monkeypatch):
    def init(**options):
        raise ConnectionError("Could not find any\nrunning Ray instance.")

    ray = fake()
    ray.is_initialized, ray.init = lambda: False, init
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match=r"^Ray cannot be joined at local \(Could not find any running Ray"):
        with Cluster("local"):
            pass
    assert signal.getsignal(signal.SIGTERM) is handler


def test_what_ray_tells_of_nodes_is_a_warning_of_one_line_each():
    lines = ["\nThe node is dead\n  many reasons", "Raylet is gone"]
    with pytest.warns(UserWarning) as told:
        cluster._tell({"lines": lines}, ignore_prefix=False)
    assert [str(each.message) for each in told] == ["Ray: The node is dead", "Ray: Raylet is gone"]


def test_a_sigterm_while_ray_starts_is_one(fake):
    def init(**options):
        sys.exit(15)  # as Ray's own handler does

    ray = fake()
    ray.is_initialized, ray.init = lambda: False, init
    with pytest.raises(SystemExit) as ended:
        with Cluster("local"):
            pass
    assert ended.value.code == 143
