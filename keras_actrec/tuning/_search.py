"""KerasTuner's oracles and its search loop, with a state that survives being killed.

Only imported where a search is run: it needs KerasTuner.
"""

import contextlib
import itertools
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import keras_tuner
from keras_tuner.engine import base_tuner

from keras_actrec._files import write_json
from keras_actrec.errors import UserError
from keras_actrec.tuning.results import damaged
from keras_actrec.tuning.study_run import StudyRun

_PAUSE = 0.2  # seconds between questions: while others run the last trials, the oracle says to ask again


class _Durable(keras_tuner.Oracle):
    """Keeps an oracle and its trials in one file, which is replaced in one step.

    KerasTuner writes a file a trial and one for the rest: killed between them, a trial is counted and never
    run. Trials that were running are handed out again to the workers that had them.
    """

    def __init__(self, run: StudyRun, **options: Any):
        hyperparameters = keras_tuner.HyperParameters()
        run.study.space.declare(hyperparameters)
        super().__init__(
            objective=keras_tuner.Objective(run.study.objective, run.study.direction),
            hyperparameters=hyperparameters,
            allow_new_entries=False,
            seed=run.study.seed + 1,  # KerasTuner draws another one where it is 0
            max_consecutive_failed_trials=None,  # it would end the search after three
            **options,
        )
        self.max_trials = run.study.max_trials  # Hyperband takes it in no other way
        self.verbose = 0
        self.file = run.out / "oracle.json"
        if self.file.exists():
            self._restore(run.workers)

    def save(self) -> None:
        trials = [trial.get_state() for trial in self.trials.values()]
        write_json(self.file, {"trials": trials, **self.get_state()})

    def _restore(self, workers: list[str] | None) -> None:
        try:
            self._take(json.loads(self.file.read_text(encoding="utf-8")), workers)
        except Exception as error:  # whatever KerasTuner meets first
            raise damaged(self.file) from error

    def _take(self, state: dict[str, Any], workers: list[str] | None) -> None:
        for each in state.pop("trials"):
            trial = keras_tuner.engine.trial.Trial.from_state(each)
            self.trials[trial.trial_id] = trial
        # It saves before it forgets that a trial that has ended was running.
        running = {
            worker: trial
            for worker, trial in state["ongoing_trials"].items()
            if trial not in state["end_order"]
        }
        state["ongoing_trials"] = {
            worker: trial for worker, trial in running.items() if workers is None or worker in workers
        }
        state["retry_queue"] += [
            trial for worker, trial in running.items() if worker not in state["ongoing_trials"]
        ]
        self.set_state(state)


class _Grid(_Durable):
    """All combinations in the study's order. KerasTuner's own one has no state and fails when it goes on."""

    def __init__(self, run: StudyRun):
        self.space = run.study.space
        super().__init__(run)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        values = next(itertools.islice(self.space.combinations(), int(trial_id), None), None)
        if values is None:
            return {"status": "STOPPED", "values": None}
        values = {name: self.space.axes[name].encode(value) for name, value in values.items()}
        return {"status": "RUNNING", "values": values}


class _Random(_Durable, keras_tuner.oracles.RandomSearchOracle):
    """Random combinations."""


class _Bayesian(_Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process proposes."""


class _Hyperband(_Durable, keras_tuner.oracles.HyperbandOracle):
    """Many short trials, the best of them longer; those are trained anew, as schedules depend on length."""

    def __init__(self, run: StudyRun):
        epochs = run.study.recipe_of().train.epochs
        super().__init__(run, max_epochs=epochs, hyperband_iterations=None)


_ORACLES = {"grid": _Grid, "random": _Random, "bayesian": _Bayesian, "hyperband": _Hyperband}


class _FailedError(keras_tuner.errors.FatalError):
    """A trial has failed. Of any other error than a fatal one KerasTuner prints the traceback.

    Args:
        trial: KerasTuner's.
    """

    def __init__(self, trial: Any):
        super().__init__(trial)
        self.trial = trial


class Tuner(base_tuner.BaseTuner):
    """KerasTuner's loop around trials that run in processes of their own.

    Args:
        run: a `StudyRun`.
    """

    def __init__(self, run: StudyRun):
        self.run = run
        oracle = _ORACLES[run.study.oracle](run)
        super().__init__(oracle, directory=str(run.out), project_name="keras_tuner")
        self.tuner_id = run.worker

    def save(self) -> None:
        """Saves the oracle, which holds the whole state."""
        self.oracle.save()

    def pre_create_trial(self) -> None:
        """Ends the search when its time is up."""
        self.run.check_time()
        time.sleep(_PAUSE)

    def run_trial(self, trial: Any) -> dict[str, float]:
        """The objective of a trial."""
        chosen = trial.hyperparameters.values
        epochs = [f"train.epochs={chosen['tuner/epochs']}"] if "tuner/epochs" in chosen else []
        values = self.run.study.space.choose(trial.hyperparameters)
        try:
            result = self.run.run_trial(trial.trial_id, values, epochs)
        except (OSError, UserError) as error:  # of the study: KerasTuner would go on with the next trial
            raise keras_tuner.errors.FatalError(str(error)) from error
        if result["status"] == "FAILED":
            raise _FailedError(trial)
        return {self.run.study.objective: result["metrics"][self.run.study.objective]}

    def on_trial_end(self, trial: Any) -> None:
        """Tells the oracle, which saves itself."""
        self.oracle.end_trial(trial)


def search(run: StudyRun) -> None:
    """Run the trials of a study until its oracle has no more."""
    with known_warnings():
        tuner = Tuner(run)
        while True:
            try:
                tuner.search()
                return
            except _FailedError as failed:
                failed.trial.status = keras_tuner.engine.trial.TrialStatus.FAILED
                tuner.on_trial_end(failed.trial)
            except keras_tuner.errors.FatalError as error:
                cause = error.__cause__ or error
                break
    raise cause  # out here, it does not carry KerasTuner's with it


@contextlib.contextmanager
def known_warnings() -> Iterator[None]:
    """Ignore what KerasTuner's own code and the Gaussian process are known to warn of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(currentThread|getName)\(\) is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", module=r"sklearn\.gaussian_process")
        yield
