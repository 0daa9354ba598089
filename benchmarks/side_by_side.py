"""Time programs against each other in one process: in turn, so that a slow moment of the machine hits all."""

import importlib.metadata
import json
import platform
import statistics
import time

import keras

PACKAGES = ("keras_actrec", "keras", "jax", "torch", "tensorflow", "numpy")


def measure(steps, repeats, warm_up=3):
    """Median CPU and wall seconds of each of `steps`, a dict of functions: `{name: (cpu, wall)}`."""
    taken = {name: [] for name in steps}
    for repeat in range(repeats + warm_up):
        for name, step in steps.items():
            cpu, wall = time.process_time(), time.perf_counter()
            step()
            if repeat >= warm_up:
                taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def row(what, ours, peer, times):
    """A result, printed: our CPU time by the peer's is the ratio, below 1 where ours is faster."""
    (our_cpu, our_wall), (peer_cpu, peer_wall) = times[ours], times[peer]
    ratio = our_cpu / peer_cpu
    print(
        f"{keras.backend.backend()} {what}: {ours} {1e3 * our_cpu:.1f} ms, {peer} {1e3 * peer_cpu:.1f} ms, ",
        end="",
    )
    print(f"ratio {ratio:.2f}", flush=True)
    return {
        "what": what,
        "ours": ours,
        "peer": peer,
        "ratio": round(ratio, 3),
        "cpu_ms": [round(1e3 * our_cpu, 2), round(1e3 * peer_cpu, 2)],
        "wall_ms": [round(1e3 * our_wall, 2), round(1e3 * peer_wall, 2)],
    }


def write(path, rows):
    """Rows with the machine and the versions, as JSON."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    record = {
        "backend": keras.backend.backend(),
        "machine": f"{platform.processor() or platform.machine()}, {platform.system()}",
        "versions": versions,
        "rows": rows,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
        file.write("\n")
