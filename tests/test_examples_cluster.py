"""The examples for clusters start processes that find each other, each with the same command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from keras_actrec._backend.processes import Team, named_team
from keras_actrec.cli.main import app

pytestmark = pytest.mark.no_backend

FOLDER = Path(__file__).parents[1] / "examples" / "cluster"
# What Slurm has, and the command, which says what it was given.
PROGRAMS = {
    "scontrol": '#!/bin/sh\n[ "$*" = "show hostnames node[3-4]" ] && printf "node3\\nnode4\\n"\n',
    "srun": """#!/bin/sh
[ "$1" = --cpus-per-task=16 ] || exit 2
shift
for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done
""",
    "keras-actrec": f"""#!{sys.executable}
import json, os, sys
names = [name for name in os.environ if name.startswith("KERAS_")]
print(json.dumps([sys.argv[1:], {{name: os.environ[name] for name in names}}]))
""",
}
SLURM = {
    "SLURM_NTASKS": "2",
    "SLURM_CPUS_PER_TASK": "16",
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "node[3-4]",
}


def check_train(words):
    """The options of a command exist."""
    assert words[0] == "train"
    known = {
        each for parameter in typer.main.get_command(app).commands["train"].params for each in parameter.opts
    }
    assert {word for word in words if word.startswith("--")} <= known


def check_team(variables, index, address, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert named_team() == Team(2, index, (address,))
    assert variables["KERAS_BACKEND"] == "jax"


def test_slurm_starts_a_process_on_each_node(tmp_path, monkeypatch):
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(FOLDER / "slurm.sh"), "gsm/own", "my_videos", "runs/mine"]
    environment = {**os.environ, **SLURM, "PATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(calls) == 2
    for index, (words, variables) in enumerate(calls):
        assert words == "train gsm/own --data my_videos --out runs/mine --devices 4".split()
        check_train(words)
        check_team(variables, index, "node3:24711", monkeypatch)


def test_kubernetes_starts_pods_that_have_a_name(monkeypatch):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install pyyaml")
    service, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    spec, template = job["spec"], job["spec"]["template"]["spec"]
    (container,) = template["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    name, program = job["metadata"]["name"], container["command"]
    assert spec["completionMode"] == "Indexed"
    assert {spec["completions"], spec["parallelism"]} == {int(given["KERAS_DISTRIBUTION_NUM_PROCESSES"])}
    assert service["spec"]["selector"] == {"job-name": name}
    assert service["metadata"]["name"] == template["subdomain"]
    assert program[0] == "keras-actrec"
    check_train(program[1:])
    assert program[-1] == container["resources"]["limits"]["nvidia.com/gpu"]  # GPUs are devices
    assert {each["name"] for each in container["volumeMounts"]} == {e["name"] for e in template["volumes"]}
    # Kubernetes gives each pod its number, and the pod of that number a name.
    assert given["KERAS_DISTRIBUTION_PROCESS_ID"] is None
    address = f"{name}-0.{template['subdomain']}:12345"
    check_team({**given, "KERAS_DISTRIBUTION_PROCESS_ID": "1"}, 1, address, monkeypatch)
