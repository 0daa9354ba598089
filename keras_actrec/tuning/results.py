"""What came of the trials of a study, as their folders tell it."""

import collections
import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from keras_actrec._files import read_text
from keras_actrec.errors import UserError
from keras_actrec.tuning.study import Study


class _About(pydantic.BaseModel):
    values: dict[str, Any]
    overrides: list[str]


class _Failed(pydantic.BaseModel):
    status: Literal["FAILED"]
    reason: str


class _Completed(pydantic.BaseModel):
    status: Literal["COMPLETED"]
    reason: str
    metrics: dict[str, float]
    protocol: str
    epochs: int
    parameters: int
    seconds: pydantic.FiniteFloat

    @pydantic.model_validator(mode="after")
    def _has_a_whole_test(self) -> "_Completed":
        top1, videos = (self.metrics.get(f"test_{name}") for name in ("top1", "videos"))
        if top1 != videos and not (
            top1 is not None and 0 <= top1 <= 1 and videos is not None and videos >= 1
        ):
            raise ValueError("no share of a number of videos")
        return self


class _Parts(pydantic.BaseModel):
    train: int
    validation: int
    test: int


class _Data(pydantic.BaseModel):
    found: int
    official: int | None
    parts: _Parts


class _Record(pydantic.BaseModel):
    backend: str
    versions: dict[str, str]
    commit: str | None
    machine: str
    data: _Data

    @pydantic.model_validator(mode="after")
    def _has_the_backends_version(self) -> "_Record":
        if self.backend not in self.versions:
            raise ValueError("no version of the backend")
        return self


_ABOUT, _RECORD = pydantic.TypeAdapter(_About), pydantic.TypeAdapter(_Record)
_RESULT: pydantic.TypeAdapter[_Failed | _Completed] = pydantic.TypeAdapter(
    Annotated[_Failed | _Completed, pydantic.Field(discriminator="status")]
)


@dataclass(frozen=True)
class Trial:
    """A trial as its folder tells it. `status` is `RUNNING` where it has no result yet."""

    name: str
    folder: Path
    values: dict[str, Any]
    overrides: list[str]
    result: dict[str, Any]

    @property
    def completed(self) -> bool:
        """Whether it came to a result."""
        return self.result["status"] == "COMPLETED"

    @property
    def record(self) -> dict[str, Any]:
        """What its run says of itself, see `training.train`."""
        return _read(self.folder / "run" / "run.json", _RECORD)


@dataclass(frozen=True)
class Configuration:
    """The trials that differ in what a study repeats alone, such as `train.seed`; else a single one.

    Attributes:
        trials: its trials.
        overrides: what all of them change in the base.
    """

    trials: list[Trial]
    overrides: list[str]

    @property
    def completed(self) -> list[Trial]:
        """Its trials that came to a result."""
        return [trial for trial in self.trials if trial.completed]

    @property
    def shown(self) -> Trial:
        """The trial that represents all of them: the first one that came to a result, else the first."""
        return next(iter(self.completed), self.trials[0])

    def values(self, metric: str) -> list[float]:
        """A metric of the completed trials that have it."""
        found = [trial.result["metrics"].get(metric) for trial in self.completed]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """The mean of a metric over the repetitions; None where no trial has it."""
        values = self.values(metric)
        return statistics.mean(values) if values else None


def read_trials(out: str | Path, kind: str = "trials") -> list[Trial]:
    """The trials of a study's directory, in their order; with `kind="winner/3"` those of its seeds."""
    found = []
    for file in Path(out).glob(f"{kind}/*/trial.json"):
        about, ended = _read(file, _ABOUT), file.with_name("result.json")
        result = read_result(ended) if ended.exists() else {"status": "RUNNING", "reason": ""}
        found.append(Trial(file.parent.name, file.parent, about["values"], about["overrides"], result))
    return sorted(found, key=lambda trial: int(trial.name.removeprefix("seed-")))


def configurations(study: Study, trials: Iterable[Trial]) -> list[Configuration]:
    """The trials as `Configuration`s, in the order of their first ones."""
    repeated = study.repeated
    groups: dict[Any, list[Trial]] = {}
    times: collections.Counter[str] = collections.Counter()
    for trial in trials:
        same: Any = trial.name
        if any(name in trial.values for name in repeated):
            times[repr(trial.overrides)] += 1  # what an oracle proposes again is no further seed
            same = repr(_kept(trial, repeated)), times[repr(trial.overrides)]
        groups.setdefault(same, []).append(trial)
    return [Configuration(group, _kept(group[0], repeated)) for group in groups.values()]


def best_configuration(study: Study, found: Iterable[Configuration]) -> Configuration | None:
    """The configuration with the best mean of the objective, the first of equal ones; None without any.

    One that came to a result each time goes before one that did not: the mean of the repetitions that
    survived would reward failing.
    """
    sign = 1 if study.direction == "max" else -1

    def rank(each: Configuration) -> tuple[bool, float]:
        values = each.values(study.objective)
        return len(each.completed) == len(each.trials), sign * statistics.mean(values)

    return max((each for each in found if each.completed), key=rank, default=None)


def check_any_completed(out: str | Path) -> None:
    """Raise a `UserError` where every trial that has ended has failed."""
    trials = [trial for trial in read_trials(out) if trial.result["status"] != "RUNNING"]
    if trials and not any(trial.completed for trial in trials):
        raise UserError(
            f"all {len(trials)} trials failed, the first one so: {trials[0].result['reason']} "
            f"(see {trials[0].folder / 'log.txt'}); mend that, and start the study anew in another --out"
        )


def _kept(trial: Trial, repeated: Iterable[str]) -> list[str]:
    """What a trial changes in the base, but for what is repeated."""
    return [text for text in trial.overrides if text.partition("=")[0] not in repeated]


def read_result(path: Path) -> dict[str, Any]:
    """What a trial has written.

    Raises:
        UserError: for a file that is damaged.
    """
    return _read(path, _RESULT)


def damaged(path: Path) -> UserError:
    """The error for a file of a study that is not as it was written."""
    return UserError(f"{path} is damaged: start the study anew in another --out")


def _read(path: Path, form: pydantic.TypeAdapter[Any]) -> dict[str, Any]:
    """The plain values of a file, if they have a form."""
    try:
        values = json.loads(read_text(path))
        form.validate_python(values, strict=True)
    except (ValueError, RecursionError) as error:
        raise damaged(path) from error
    return values
