"""What the benchmarks share: programs timed in turn in one process, and a file of what was found.

Import it first: it lets each backend use one thread, before one is loaded. With one thread, CPU time is what
is compared: other programs disturb it less than wall time, and a slow moment hits all that runs in turn.
"""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

PACKAGES = ("keras_actrec", "keras", "jax", "torch", "tensorflow", "numpy", "opencv-python")


def measure(steps, repeats, warm_up=3):
    """Median CPU and wall seconds of each of `steps`, functions by name: `{name: (cpu, wall)}`."""
    taken = {name: [] for name in steps}
    for repeat in range(repeats + warm_up):
        for name, step in steps.items():
            cpu, wall = time.process_time(), time.perf_counter()
            step()
            if repeat >= warm_up:
                taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def row(what, ours, peer, times):
    """What `measure` found of two, printed: our CPU time to the peer's, below 1 where ours is faster."""
    (our_cpu, our_wall), (peer_cpu, peer_wall) = times[ours], times[peer]
    ratio = our_cpu / peer_cpu
    print(f"{backend()} {what}: {ours} {1e3 * our_cpu:.1f} ms, {peer} {1e3 * peer_cpu:.1f} ms, ", end="")
    print(f"ratio {ratio:.2f}", flush=True)
    return {
        "what": what,
        "ours": ours,
        "peer": peer,
        "ratio": round(ratio, 3),
        "cpu_ms": [round(1e3 * our_cpu, 2), round(1e3 * peer_cpu, 2)],
        "wall_ms": [round(1e3 * our_wall, 2), round(1e3 * peer_wall, 2)],
    }


def backend():
    """The backend that runs."""
    import keras

    return keras.backend.backend()


def machine():
    """What figures depend on: the processor, its load, and the versions of what ran."""
    facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in facts if line.startswith("model name"))
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": next(names, platform.machine()),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def write(path, rows):
    """Rows of one backend, with the machine, as JSON."""
    content = {"backend": backend(), "machine": machine(), "rows": rows}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
