"""Wall time of a study with a chief and workers, as a ratio to one worker's in the same run.

    python benchmarks/tuning.py STUDY --data ROOT --out DIR [--workers 2]

The study is run twice in fresh directories, without the winner's runs. Give each process its share of the
cores (`OMP_NUM_THREADS=1` on two).
"""

import argparse
import csv
import json
import time
from pathlib import Path

from keras_actrec import tuning


def run(study: tuning.Study, data: Path, out: Path, workers: int) -> tuple[float, int, float]:
    """Seconds of a study, and its best objective."""
    begun = time.perf_counter()
    tuning.run_study(study, data, out, workers=workers)
    seconds = time.perf_counter() - begun
    pick = max if study.direction == "max" else min
    with open(out / "trials.csv", newline="", encoding="utf-8") as file:
        scores = [row[study.objective] for row in csv.DictReader(file) if row["status"] == "COMPLETED"]
    return seconds, len(scores), pick(map(float, scores))


def main() -> None:
    """Run the study with one worker and with several, and print what that gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    study = tuning.read_study(arguments.study, ["study.winner_seeds=[]"])
    found = {
        workers: run(study, arguments.data, arguments.out / f"workers-{workers}", workers)
        for workers in (1, arguments.workers)
    }
    (alone, trials, best), (shared, _, shared_best) = found.values()
    print(
        json.dumps(
            {
                "trials": trials,
                "workers": arguments.workers,
                "ratio": round(shared / alone, 3),
                "seconds": [round(alone, 1), round(shared, 1)],
                "best": [best, shared_best],
            }
        )
    )


if __name__ == "__main__":
    main()
