"""Measure what an installation takes: megabytes and seconds, to the first answer of a trained model.

    python benchmarks/sizes.py --backends jax torch tensorflow
    python benchmarks/sizes.py --page

Each backend gets a virtual environment of its own, with the versions of constraints.txt and of PyTorch the
build for CPUs, and nothing of this one: `pip install keras_actrec[BACKEND]`, from this checkout. In it are
run, each as a process of its own: `import keras_actrec`, `keras-actrec --help`, and `keras-actrec predict
hman/synthetic clip.mp4`. Of each the first run is not counted, as it compiles and fills caches; then the
median of the wall and CPU seconds and the highest peak of the memory are. One thread computes. CPU seconds
are what to compare: they hardly depend on what else a machine does. Results are in benchmarks/sizes.json,
those of backends that are not asked for stay, and their table is in docs/backends.md; --page measures
nothing.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from side_by_side import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "sizes.json"
PAGE = ROOT / "docs" / "backends.md"
BACKENDS = ("jax", "torch", "tensorflow")
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
LARGEST = 4  # packages that are named
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
PACKAGES = ("keras_actrec", "keras", "numpy", "opencv-python")  # whose versions are kept
CLIP = """
import cv2
from keras_actrec.data import synthetic_clip

writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 12, (112, 112))
for frame in synthetic_clip("grow", seed=1):
    writer.write(frame[..., ::-1])  # OpenCV writes BGR
writer.release()
"""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def measured(command, folder, environment):
    """Run a command: wall and CPU seconds, and the peak of its memory in megabytes."""
    began = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}: {errors.decode()}")
    return {
        "wall": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    }


def repeated(command, folder, environment, repeats):
    """The medians of some runs after one that is not counted, and the highest peak."""
    runs = [measured(command, folder, environment) for _ in range(repeats + 1)][1:]
    return {
        "wall": round(statistics.median(run["wall"] for run in runs), 2),
        "cpu": round(statistics.median(run["cpu"] for run in runs), 2),
        "megabytes": round(max(run["megabytes"] for run in runs)),
    }


def size_of(path):
    """Megabytes of a folder or file, without what Python compiles."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file() and file.suffix != ".pyc") / 1e6


def largest(site):
    """The largest folders of an environment, with their megabytes."""
    sizes = sorted(((size_of(path), path.name) for path in site.iterdir()), reverse=True)
    return {name: round(size) for size, name in sizes[:LARGEST]}


def measure(backend, folder, repeats):
    """Install the package with one backend, and use it."""
    place = folder / backend
    source = shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)  # a build leaves files in it
    venv.create(place, with_pip=True)
    (site,) = place.glob("lib/python*/site-packages")
    pip = size_of(site)
    inside = place / "bin"
    install = [inside / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile"]
    install += ["--constraint", ROOT / "constraints.txt", f"{source}[{backend}]"]
    if backend == "torch":
        install += ["--extra-index-url", CPU_TORCH]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= ONE_THREAD | {"KERAS_BACKEND": backend}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    installed = measured(install, folder, environment)
    listed = subprocess.check_output([inside / "python", "-m", "pip", "list", "--format", "json"])
    versions = {each["name"]: each["version"] for each in json.loads(listed)}
    row = {
        "machine": machine() | {"versions": {name: versions[name] for name in (*PACKAGES, backend)}},
        "installed_megabytes": round(size_of(site) - pip),
        "largest": largest(site),
        "install": {"wall": round(installed["wall"]), "cpu": round(installed["cpu"])},
    }
    steps = {
        "import": [inside / "python", "-c", "import keras_actrec"],
        "help": [inside / "keras-actrec", "--help"],
        "answer": [inside / "keras-actrec", "predict", "hman/synthetic", "clip.mp4"],
    }
    measured([inside / "python", "-c", CLIP], folder, environment)
    for name, command in steps.items():
        row[name] = repeated(command, folder, environment, repeats)
    return row


def table(found):
    """The results in Markdown."""
    lines = [
        "| extra | installed | of that | installing | `import keras_actrec` | `--help` | first answer "
        "| memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for backend, row in found.items():
        parts = ", ".join(f"{name} {size}" for name, size in row["largest"].items())
        seconds = " | ".join(f"{row[step]['cpu']:.1f} s" for step in ("import", "help", "answer"))
        lines.append(
            f"| `keras_actrec[{backend}]` | {row['installed_megabytes']} MB | {parts} | "
            f"{row['install']['cpu']} s | {seconds} | {row['answer']['megabytes']} MB |"
        )
    about = [f"{backend} on {row['date']}, load {row['machine']['load']}" for backend, row in found.items()]
    first = next(iter(found.values()))["machine"]
    lines += [
        "",
        f"CPU seconds, one thread; {first['processor']}, {first['cores']} cores, Python {first['python']}; "
        f"{'; '.join(about)}. The answer is that of `keras-actrec predict hman/synthetic clip.mp4`, a new "
        "process, with what earlier ones have compiled; memory is its peak.",
    ]
    return "\n".join(lines)


def main():
    """Measure what is asked for, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write the page from the results there are")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for backend in () if options.page else options.backends:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(backend, Path(folder), options.repeats)
        found[backend] = {"date": f"{datetime.date.today()}", **row}
        print(backend, json.dumps(row), flush=True)
        found = {name: found[name] for name in BACKENDS if name in found}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    # Not before: what this process has held at most counts for those that it starts, as Linux counts.
    from keras_actrec._files import write_block

    write_block(PAGE, "sizes", table(found))


if __name__ == "__main__":
    main()
