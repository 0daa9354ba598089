"""Work on two nodes of Ray on this machine, of which one is killed: it ends with the bytes of one machine."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import keras
import pytest

from keras_actrec import Cluster, Recognizer, UserError, evaluation, training, zoo
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Sampling,
    audit_videos,
    read_manifest,
    write_synthetic,
)
from keras_actrec.deploy import find_segments

pytestmark = [
    pytest.mark.filterwarnings("ignore:Ray. :UserWarning"),  # of the node that is killed
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="slow to start, so on one backend only"),
]

# They end with our standard input. A model computes with as many threads as here, or it would round
# otherwise.
NODES = """
import sys
from ray.cluster_utils import Cluster

cpus = int(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
others = [cluster.add_node(num_cpus=cpus) for _ in range(2)]
print(cluster.address, *(node.all_processes["raylet"][0].process.pid for node in others), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@dataclass
class Nodes:
    address: str
    second: int  # the processes that are the other nodes
    third: int


@pytest.fixture(scope="module")
def nodes():
    import torch

    threads = str(torch.get_num_threads())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", threads)
        process = subprocess.Popen(
            [sys.executable, "-c", NODES, threads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        address, *others = process.stdout.readline().split()
        yield Nodes(address, *map(int, others))
        process.communicate("", timeout=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twenty videos of 8 frames, of which one is damaged."""
    folder = tmp_path_factory.mktemp("data")
    write_synthetic(folder, clips_per_class=2, size=32, frames=8)
    (folder / "grow" / "grow_001.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def recognizer(data):
    names = read_manifest(data).class_names
    model = zoo.build(
        "frame_gru", len(names), backbone="efficientnet_lite0:stem", input_shape=(4, 32, 32, 3), weights=None
    )
    return Recognizer(model, names, ClipPreprocessor(Sampling(4), ClipTransform(32, crop="none")))


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".part-")
    }


def test_a_killed_node_changes_no_byte(nodes, data, tmp_path):
    recipe = training.extraction_recipe(
        backbone="efficientnet_lite0:stem",
        data={"on_error": "skip", "max_skipped": 0.2},
        clip={"size": 32, "crop": "none"},
    )
    one, several, steps = tmp_path / "one", tmp_path / "several", []

    def kill(stage, done, total, text=""):
        steps.append((stage, done, total))
        if steps[-1] == ("features", 5, 19):
            os.kill(nodes.second, signal.SIGKILL)

    pairs, skipped = training.extract(recipe, data, one)
    with Cluster(nodes.address) as cluster:
        found = training.extract(recipe, data, several, cluster=cluster, progress=kill)
    assert ("features", 5, 19) in steps and steps[-1] == ("features", 19, 19)
    assert [record for record, _ in found[0]] == [record for record, _ in pairs]
    assert list(map(str, found[1])) == list(map(str, skipped))
    assert contents(several) == contents(one)


def test_what_a_killed_node_had_begun_is_done_by_another(nodes, tmp_path):
    def work(item):
        tmp_path.joinpath(f"{item}-{os.getppid()}-{os.getpid()}").touch()  # the parent is the node
        time.sleep(0.3)
        return item

    def begun(node):
        return {int(path.name.partition("-")[0]) for path in tmp_path.glob(f"*-{node}-*")}

    done, lost = {}, set()
    with Cluster(nodes.address) as cluster:
        for number, value in cluster.map(work, range(40)):
            done[number] = value
            if not lost and (lost := begun(nodes.third) - set(done)):
                os.kill(nodes.third, signal.SIGKILL)
                for process in {path.name.rpartition("-")[2] for path in tmp_path.glob(f"*-{nodes.third}-*")}:
                    os.kill(int(process), signal.SIGKILL)  # which else ends what it has begun
    assert lost
    assert done == {number: number for number in range(40)}


def test_what_is_left_of_it_answers_as_one_machine_does(nodes, data, recognizer, tmp_path):
    files = sorted(data.rglob("*.mp4"))
    manifest = read_manifest(data)
    with Cluster(nodes.address) as cluster:
        several = list(recognizer.predict(files, cluster=cluster))
        audit_videos(manifest, out=tmp_path / "several.json", cluster=cluster)
        options = {"part": "all", "on_error": "skip", "floors": True}
        scores = evaluation.evaluate(recognizer, data, **options, cluster=cluster)
        segments = list(find_segments(recognizer, files[:2], least=0.05, cluster=cluster))
    one = list(recognizer.predict(files))
    assert [(each.path, each.status, each.scores, each.error) for each in several] == [
        (each.path, each.status, each.scores, each.error) for each in one
    ]
    assert [each.status for each in one].count("ok") == 19
    audit_videos(manifest, out=tmp_path / "one.json")
    assert (tmp_path / "several.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    expected = evaluation.evaluate(recognizer, data, **options)
    assert (scores.scores == expected.scores).all() and scores.to_json() == expected.to_json()
    assert [each.segments for each in segments] == [
        each.segments for each in find_segments(recognizer, files[:2], least=0.05)
    ]
    assert segments[0].segments


def test_a_folder_that_only_some_see_is_named(nodes, data, tmp_path, monkeypatch):
    # As if the nodes had another disk there: they look below a folder that is not there.
    monkeypatch.chdir(data)
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path / "elsewhere"))
    with Cluster(nodes.address) as cluster:
        with pytest.raises(UserError, match="is not there on node .*: mount its folder there"):
            list(cluster.map(str, ["manifest.csv"], files=lambda item: (item,)))
