"""What came of the trials of a study, as their folders tell it."""

import collections
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from keras_actrec.errors import UserError

SEED = "train.seed"  # the axis along which a configuration is repeated


@dataclass(frozen=True)
class Trial:
    """A trial as its folder tells it. `status` is `RUNNING` where it has no result yet."""

    name: str
    folder: Path
    values: dict
    overrides: list
    result: dict

    @property
    def completed(self):
        """Whether it came to a result."""
        return self.result["status"] == "COMPLETED"

    @property
    def record(self):
        """What its run says of itself, see `training.train`."""
        return _read(self.folder / "run" / "run.json")


@dataclass(frozen=True)
class Configuration:
    """The trials that differ in `train.seed` alone, where that is an axis of the study; else a single one."""

    trials: list

    @property
    def completed(self):
        """Its trials that came to a result."""
        return [trial for trial in self.trials if trial.completed]

    @property
    def shown(self):
        """The trial that stands for all of them: the first one that came to a result, else the first."""
        return next(iter(self.completed), self.trials[0])

    @property
    def overrides(self):
        """What all of them change in the base."""
        return _without_seed(self.trials[0])

    def values(self, metric):
        """A metric of the completed trials that have it."""
        found = [trial.result["metrics"].get(metric) for trial in self.completed]
        return [value for value in found if value is not None]

    def mean(self, metric):
        """The mean of a metric over the seeds; None where no trial has it."""
        values = self.values(metric)
        return statistics.mean(values) if values else None


def read_trials(out, kind="trials"):
    """The trials of a study's directory, in their order; with `kind="winner/3"` those of its seeds."""
    found = []
    for file in Path(out).glob(f"{kind}/*/trial.json"):
        about, ended = _read(file), file.with_name("result.json")
        result = _read(ended) if ended.exists() else {"status": "RUNNING", "reason": ""}
        found.append(Trial(file.parent.name, file.parent, about["values"], about["overrides"], result))
    return sorted(found, key=lambda trial: int(trial.name.removeprefix("seed-")))


def configurations(trials):
    """The trials as `Configuration`s, in the order of their first ones."""
    groups, times = {}, collections.Counter()
    for trial in trials:
        same = trial.name
        if SEED in trial.values:
            times[repr(trial.overrides)] += 1  # what an oracle proposes again is no further seed
            same = repr(_without_seed(trial)), times[repr(trial.overrides)]
        groups.setdefault(same, []).append(trial)
    return [Configuration(group) for group in groups.values()]


def best_configuration(study, found):
    """The configuration with the best mean of the objective, the first of equal ones; None without any.

    One that came to a result with every seed goes before one that did not: the mean of the seeds that
    survived would reward failing.
    """
    sign = 1 if study.direction == "max" else -1
    return max(
        [each for each in found if each.completed],
        key=lambda each: (len(each.completed) == len(each.trials), sign * each.mean(study.objective)),
        default=None,
    )


def check_any_completed(out):
    """Raise a `UserError` where every trial that has ended has failed."""
    trials = [trial for trial in read_trials(out) if trial.result["status"] != "RUNNING"]
    if trials and not any(trial.completed for trial in trials):
        raise UserError(
            f"all {len(trials)} trials failed, the first one so: {trials[0].result['reason']} "
            f"(see {trials[0].folder / 'log.txt'})"
        )


def _without_seed(trial):
    return [text for text in trial.overrides if not text.startswith(f"{SEED}=")]


def _read(path):
    return json.loads(path.read_text(encoding="utf-8"))
