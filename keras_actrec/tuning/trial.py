"""One trial, in a process of its own: trains a recipe, scores it, writes what came of it."""

import functools
import json
import math
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from keras_actrec import evaluation, training
from keras_actrec._children import end_with_parent
from keras_actrec._files import is_disk_full, write_json
from keras_actrec.data import Record, VideoError
from keras_actrec.errors import UserError
from keras_actrec.training.prepare import build_model, first_shown, read_data

# How a process ends that has the study end too: the usual statuses for input and for output.
CANNOT_READ, CANNOT_WRITE = 66, 74


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Train and score as `job`, a dict, says: the trial's result.

    A run directory that exists already is gone on with: from its last epoch, or, where it is finished, from
    its model. A result is `status` (`COMPLETED` or `FAILED`), `reason`, and, where it is completed,
    `metrics`, `epochs`, `parameters`, the `seconds` of training in this process, and `protocol`. The metrics
    are those of the last epoch, whose weights are kept, `val_map` where that is the objective, and with
    `job["test"]` those of the test part: `test_top1`, `test_mean_class`, `test_map` and the number of its
    videos, `test_videos`.
    """
    recipe, folder, objective = training.read_recipe(job["recipe"]), Path(job["run"]), job["objective"]
    manifest, parts = read_data(recipe.data, job["data"])
    if objective.startswith("val_") and not parts["validation"]:
        raise UserError(f"{objective} needs a validation part: put data.validation_fraction=0.25 into `set`")
    if job["parameters"] is not None:
        count = _count(recipe, len(manifest.class_names), parts["train"])
        if count > job["parameters"]:
            return failed(
                f"over budget: {count:,} trained parameters, budget.parameters={job['parameters']:,}"
            )
    trained = training.train(recipe, job["data"], folder, cache=job["cache"], progress=_print_progress)
    recognizer, record = trained.recognizer, trained.record
    metrics, protocol = dict(record["last_epoch"]), ""
    score = functools.partial(
        evaluation.evaluate,
        recognizer,
        job["data"],
        on_error=recipe.data.on_error,
        max_skipped=recipe.data.max_skipped,
        cache=job["cache"],
    )
    if objective == "val_map":
        metrics["val_map"] = score(part="validation").map
    if not math.isfinite(metrics[objective]):
        return failed(f"{objective} is not a number: lower train.learning_rate, or set train.clipnorm=1")
    if job["test"] and record["data"]["parts"]["test"]:
        scores = score()
        protocol = scores.protocol
        metrics |= {
            "test_top1": scores.top1,
            "test_mean_class": scores.mean_class,
            "test_map": scores.map,
            "test_videos": scores.videos,
        }
    return {
        "status": "COMPLETED",
        "reason": "",
        "metrics": {name: float(value) for name, value in metrics.items()},
        "epochs": len((folder / "history.csv").read_text(encoding="utf-8").splitlines()) - 1,
        "parameters": count_trainable(recognizer.model),
        "seconds": record["seconds"],
        "protocol": protocol,
    }


def failed(reason: object) -> dict[str, Any]:
    """The result of a trial that came to nothing."""
    return {"status": "FAILED", "reason": " ".join(str(reason).split())}


def wait_for_parent() -> None:
    """Return when the parent is gone, which holds the other end of standard input and writes nothing."""
    os.read(sys.stdin.fileno(), 1)


def _count(recipe: training.Recipe, num_classes: int, records: Sequence[Record]) -> int:
    """Trained weights of a recipe's model, of which nothing is left behind."""
    count = count_trainable(build_model(recipe, num_classes, first_shown(recipe, records))[0])
    keras.utils.clear_session(free_memory=False)
    return count


def count_trainable(model: keras.Model) -> int:
    """Number of trainable parameters of a model."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _print_progress(stage: str, done: float, total: int, text: str = "") -> None:
    if stage == "epochs" and done == int(done):
        print(f"epoch {done}/{total}  {text}", flush=True)


def main() -> None:
    """Runs the trial whose job is in the file that the command line names."""
    end_with_parent(wait_for_parent)
    file = Path(sys.argv[1])
    job = json.loads(file.read_text(encoding="utf-8"))
    try:
        result = run(job)
    except Exception as error:  # whatever else goes wrong in a trial is its result
        if is_disk_full(error):
            with suppress(OSError):  # the log may be on that disk
                print(error, flush=True)
            sys.exit(CANNOT_WRITE)
        if isinstance(error, VideoError) or isinstance(error.__cause__, VideoError):
            print(error, flush=True)
            sys.exit(CANNOT_READ)
        traceback.print_exc()
        result = failed(error if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    write_json(job["result"], result)
