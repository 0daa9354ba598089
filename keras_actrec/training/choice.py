"""Training without a recipe: what is chosen for the data, each value with its reason."""

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from keras_actrec import _backend, zoo
from keras_actrec._files import read_toml, to_toml, write_text
from keras_actrec._locks import alone_in
from keras_actrec._text import printable
from keras_actrec._types import PathLike, StageProgress
from keras_actrec.data import kind_of
from keras_actrec.errors import UserError
from keras_actrec.training.facts import VALIDATION, Facts, Kind, look, read_own
from keras_actrec.training.recipe import find_recipe, list_recipes

# ---- the table: what is chosen when nothing is said. The recipe has all that does not depend on the data.

# The recipe of the model that did best on data of each kind where it was tried (zoo/*/README.md), and why.
_RECIPES: dict[Kind, tuple[str, str]] = {
    "videos": (
        "stacked_rnn/videos",
        "recurrent layers on what a trained network sees, which is run once, and on where frames change",
    ),
    "poses": (
        "stacked_rnn/own",
        "recurrent layers; gates (eleatt_rnn) made no difference where they were tried",
    ),
    "features": ("stacked_rnn/features", "recurrent layers over what changes in a clip"),
}
_MOST_MINUTES = 100_000
_STEPS = 24  # frames of a clip, fewer where clips are shorter
_FEWEST = 4  # frames of a clip, however little time there is
_RATE = 12  # frames a second that are looked at
_KEPT = 240  # frames of a long video that are looked at
_GPU_SIZE = 224  # pixels; on a CPU as the recipe says
_BATCHES = ((5000, 64), (1000, 32), (64, 16), (32, 8), (16, 4), (0, 2))  # from so many clips on, so many
_BODIES = 2  # persons, where there are more than one in a file
_GAP = 10  # frames in which a joint may be missing and is put on a line
_STREAMS = ("joints", "bones", "velocities", "bone_velocities", "distances")  # of a known body
_VIEW = 45.0  # degrees that the camera goes around in training, about y, of a known body
_TURN = 35.0  # degrees about all axes, of another one
_UPDATES = 900  # of the weights, or what the time allows
_EPOCHS = (8, 200)  # at least and at most
# Clips that must be in the validation part for its best epoch to mean something. On a few dozen clips many
# epochs are equally good, the first of them is kept, and what was set aside is missed in training.
_VALIDATED = 150
_UNEVEN = 2  # times as many clips in the largest class as in the smallest
# Seconds on one core: of a frame that is decoded and run through the network once, of a clip in an epoch, and
# of a step of one where the model takes sequences.
_FRAME_SECONDS = 0.010
_CLIP_SECONDS = {"clip": 0.4, "features": 0.012}
_STEP_SECONDS = 0.0002
_GPU = 20  # times as fast as one core


@dataclass(frozen=True)
class Choice:
    """A recipe that was chosen.

    Attributes:
        values: nested dicts, as `parse_recipe` takes them.
        reasons: why, by `"table.key"`.
        summary: what was found, in one line.
    """

    values: dict[str, dict[str, Any]]
    reasons: dict[str, str]
    summary: str

    def to_toml(self) -> str:
        """The recipe as TOML with the reasons as comments."""
        lines = [f"# {printable(self.summary)}"]
        for table, values in self.values.items():
            lines += ["", f"[{table}]"]
            for key, value in values.items():
                reason = self.reasons.get(f"{table}.{key}")
                lines.append(to_toml({key: value}).strip() + (f"  # {printable(reason)}" if reason else ""))
        return "\n".join(lines) + "\n"


def choose(facts: Facts, *, model: str | None = None, minutes: float = 15.0) -> Choice:
    """Choose a recipe: that of a model for data of one's own, with the values that depend on the data.

    Args:
        facts: of `look`.
        model: name of a builder; by default the one that goes with the kind of the files.
        minutes: how long training may take on this machine, by an estimate.

    Returns:
        The choice.

    Raises:
        UserError: for a model that does not take such files, or no time.
    """
    check_minutes(minutes)
    recipe, why = _RECIPES[facts.kind]
    if model is not None and not recipe.startswith(f"{model}/"):
        recipe, why = _own_recipe(model, facts.kind), "as asked for"
    values = _recipe_of(recipe, facts.kind)
    if values is None:
        raise UserError(f"{recipe} does not take {facts.kind}: choose another model, or leave it out")
    if "layout" in values["model"] and not facts.layout:
        raise UserError(
            f"{recipe} must know whose joints these are, and the files do not say it: write it into "
            "poses.toml beside the classes, as layout = 'coco17', or choose another model"
        )
    reasons = {"model.name": why}
    for decide in (_data, _clip, _skeleton, _features, _train):
        for name, value, reason in decide(facts, values, minutes):
            table, _, key = name.partition(".")
            if value is None:
                values[table].pop(key, None)
            else:
                values[table][key], reasons[name] = value, reason
    return Choice(values, reasons, _summary(facts, values))


def check_minutes(minutes: float) -> None:
    """Refuse a time in which nothing can be trained, before the data is read for it."""
    if not 0 < minutes <= _MOST_MINUTES:
        raise UserError(f"`minutes` must be above 0, at most {_MOST_MINUTES}. Received: minutes={minutes:g}")


def _own_recipe(model: str, kind: Kind) -> str:
    """Name of a model's recipe for files of a kind of one's own."""
    zoo.spec(model)  # which knows the name, or says the nearest
    special = f"{model}/{kind}"
    return special if special in list_recipes() else f"{model}/own"


def _recipe_of(name: str, kind: Kind) -> dict[str, dict[str, Any]] | None:
    """The values of a recipe for files of a kind of one's own; None where its model takes others."""
    values = read_toml(find_recipe(name))
    if values["data"].get("dataset", "videos") == kind:
        return values
    joints = "layout" in values["model"]  # whose graph it is
    if kind != "features" or joints or zoo.spec(values["model"]["name"]).input == "clip":
        return None
    for key in ("backbone", "pixels"):  # of frames
        values["model"].pop(key, None)
    values["data"]["dataset"] = "features"
    # In the place of how videos or joints are read, which the others of its values do not depend on.
    return {
        table: {} if table == "features" else values[table]
        for table in ("model", "data", "features", "train")
    }


def recipe_for(model: str, data: PathLike) -> str | None:
    """Name of a model's recipe for data of one's own; None where the data is no such set.

    Where the model does not take such files it is the recipe that `choose` starts from.
    """
    try:
        kind = kind_of(data)
        read_own(data, kind)
    except UserError:
        return None
    name = _own_recipe(model, kind)
    return name if _recipe_of(name, kind) else _RECIPES[kind][0]


def choose_for_run(
    data: PathLike,
    out: PathLike,
    *,
    model: str | None = None,
    minutes: float = 15.0,
    progress: StageProgress | None = None,
) -> tuple[Path, Path, Choice | None]:
    """Look at the data and choose, once for a run directory; the same call again finds what was chosen.

    Args:
        data: a CSV file or a folder.
        out: the run directory. It gets `chosen.toml`, the recipe with the reasons, and `audit.json`.
        model: as of `choose`.
        minutes: as of `choose`.
        progress: as of `look`.

    Returns:
        The recipe's file, the audit's, and the choice, None where it was made before.

    Raises:
        UserError: as `look` and `choose`, or a directory that holds a run of a recipe that was named, or in
            which another process works.
    """
    chosen, audit = Path(out) / "chosen.toml", Path(out) / "audit.json"
    if _backend.process()[1] > 1:
        raise UserError("several processes need a recipe: keras-actrec init writes one")
    with alone_in(out, "training into it"):
        if chosen.exists():
            return chosen, audit, None
        if (Path(out) / "recipe.toml").exists():
            raise UserError(
                f"{out} holds a run of a recipe that was named: name it again, or choose another --out"
            )
        check_minutes(minutes)
        choice = choose(look(data, audit=audit, progress=progress), model=model, minutes=minutes)
        write_text(chosen, choice.to_toml())
        return chosen, audit, choice


_Values: TypeAlias = Mapping[str, Mapping[str, Any]]
_Decisions: TypeAlias = Iterator[tuple[str, Any, str]]  # "table.key", its value (None: none), and why


def _data(facts: Facts, values: _Values, minutes: float) -> _Decisions:
    if not facts.splits and facts.folds:
        yield "data.test_fold", facts.folds[0], f"the first of the data's folds {', '.join(facts.folds)}"
    elif not facts.splits:
        unit = "whole groups" if facts.grouped else "clips"
        yield "data.test_fraction", 0.25, f"{unit} drawn for the test, a quarter of each class"
    given = "validation" in facts.splits
    drawn = facts.validated and VALIDATION * facts.clips >= _VALIDATED and not given
    yield "data.validation_fraction", VALIDATION if drawn else None, "of the training clips, set aside"
    if given or drawn:
        yield "train.keep", "best", "the epoch that is best on the validation part"
    else:
        yield "train.keep", "last", "too few clips or groups to set some aside and judge epochs by them"
    if facts.bad:
        yield "data.on_error", "skip", f"{facts.bad} of {facts.found} files cannot be read and are left out"
    else:
        yield "data.on_error", "skip", "files that cannot be read are left out and named"


def _clip(facts: Facts, values: _Values, minutes: float) -> _Decisions:
    if "clip" not in values:
        return
    step, why = _frame_step(facts, minutes)
    yield "clip.frame_step", step, why
    steps, middle = values["clip"]["frames"], statistics.median_low(facts.frames) // step
    if middle < steps:
        yield "clip.frames", max(middle, 2), f"a clip in the middle has {statistics.median_low(facts.frames)}"
    else:
        yield "clip.frames", steps, "over the whole clip"
    if facts.gpu:
        yield "clip.size", _GPU_SIZE, "pixels, on a GPU"
    else:
        yield "clip.size", values["clip"]["size"], "pixels, on a CPU"


def _frame_step(facts: Facts, minutes: float) -> tuple[int, str]:
    """Every how many frames one is looked at."""
    middle = statistics.median_low(facts.frames)
    step, why = max(1, round(facts.fps / _RATE)), f"about {_RATE} of {facts.fps:.0f} frames a second"
    if middle > step * _KEPT:
        step, why = math.ceil(middle / _KEPT), f"{_KEPT} of the {middle} frames of a clip"
    elif step > 1 and middle < step * _STEPS:
        step, why = max(1, middle // _STEPS), f"a clip in the middle has {middle} frames"
    elif step == 1:
        why = "every frame"
    needed = sum(facts.frames) * _FRAME_SECONDS / _speed(facts) / (30 * minutes)  # half of the time
    if needed > step:
        step, why = min(math.ceil(needed), max(step, middle // _FEWEST)), f"as {minutes:g} minutes allow"
    return step, why


def _skeleton(facts: Facts, values: _Values, minutes: float) -> _Decisions:
    if "skeleton" not in values:
        return
    steps = min(max(statistics.median_low(facts.frames), 20), 100)
    yield "skeleton.frames", steps, f"a clip in the middle has {statistics.median_low(facts.frames)}"
    if facts.layout:
        yield "skeleton.layout", facts.layout, "whose joints the files have: its middle is the origin"
        yield "skeleton.center", None, ""
        if "streams" in values["skeleton"]:
            yield "skeleton.streams", list(_STREAMS), "bones and hands are known"
    else:
        why = "the first joint; layout = ... in poses.toml would say whose joints these are, which helps"
        yield "skeleton.center", values["skeleton"].get("center", 0), why
    if facts.depth and facts.layout:
        yield "skeleton.align", True, "whichever way a person looks: the joints have depth"
        yield "skeleton.view", _VIEW, "degrees that the camera goes around in training"
    elif facts.depth:
        yield "skeleton.rotation", _TURN, "degrees, turned in training: the joints have depth"
    if facts.persons > 1:
        bodies, why = _BODIES, f"of {facts.persons} persons in a file those that move most"
    else:
        bodies, why = 1, "nearly all files have one person: of more it is who moves most"
    yield "skeleton.bodies", bodies, why
    if "layout" in values["model"]:  # of a graph of joints
        yield "model.layout", facts.layout, "whose bones are the graph"
        yield "model.bodies", bodies, "as there are persons"
    if facts.missing:
        yield "skeleton.gap", _GAP, f"frames that are bridged where joints are missing, {facts.missing:.1%}"


def _features(facts: Facts, values: _Values, minutes: float) -> _Decisions:
    if "features" not in values:
        return
    yield "data.dataset", "features", "the files are .npy or .npz"
    middle = statistics.median_low(facts.frames)
    steps = min(max(middle // 2, min(middle, 4)), _STEPS)
    yield "features.frames", steps, f"drawn from the {middle} steps that a file in the middle has"


def _train(facts: Facts, values: _Values, minutes: float) -> _Decisions:
    batch = next(size for clips, size in _BATCHES if facts.clips >= clips)
    yield "train.batch_size", batch, f"{facts.clips} clips for training"
    batches = math.ceil(facts.clips / batch)
    fewest, most = _EPOCHS
    epochs, why = math.ceil(_UPDATES / batches), f"about {_UPDATES} updates of {batches} an epoch"
    if not fewest <= epochs <= most:
        epochs = min(max(epochs, fewest), most)
        why = f"{epochs * batches} updates"
    allowed = int((60 * minutes - _reading_seconds(facts, values)) / _epoch_seconds(facts, values))
    if allowed < epochs:
        epochs, why = max(allowed, 1), f"as {minutes:g} minutes allow"
    yield "train.epochs", epochs, why
    largest = facts.counts[-1]
    if largest >= _UNEVEN * facts.counts[0]:
        reason = f"classes have {facts.counts[0]} to {largest} clips"
        yield "train.class_weights", "balanced", reason


def _reading_seconds(facts: Facts, values: _Values) -> float:
    """Of running all frames that are looked at through a frozen network, once."""
    if "backbone" not in values["model"]:
        return 0.0
    return sum(facts.frames) / values["clip"]["frame_step"] * _FRAME_SECONDS / _speed(facts)


def _epoch_seconds(facts: Facts, values: _Values) -> float:
    table = next(values[name] for name in ("clip", "skeleton", "features") if name in values)
    seconds = _CLIP_SECONDS.get(zoo.spec(values["model"]["name"]).input, _STEP_SECONDS * table["frames"])
    return facts.clips * seconds / (_GPU if facts.gpu else 1)


def _speed(facts: Facts) -> float:
    """How many times as fast as one core."""
    return _GPU if facts.gpu else max(1.0, 0.7 * facts.cores)


def _summary(facts: Facts, values: _Values) -> str:
    middle = statistics.median_low(facts.frames)
    seconds = f", {middle / facts.fps:.1f} s" if facts.fps else ""
    device = "a GPU" if facts.gpu else f"{facts.cores} CPU cores"
    estimate = _reading_seconds(facts, values) + values["train"]["epochs"] * _epoch_seconds(facts, values)
    return (
        f"{facts.clips} {facts.kind} of {len(facts.counts)} classes for training, {middle} frames{seconds} "
        f"in the middle: about {max(1, round(estimate / 60))} min on {device}"
    )
