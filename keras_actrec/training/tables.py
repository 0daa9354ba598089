"""The tables of a recipe, typed."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import pydantic
from pydantic_core import PydanticCustomError

from keras_actrec._files import to_toml
from keras_actrec._numbers import MAX_SKIPPED, MOST, MOST_EPOCHS, MOST_SEED, MOST_WORKERS
from keras_actrec._suggest import did_you_mean
from keras_actrec.data import (
    Body,
    ClipPreprocessor,
    ClipTransform,
    FeaturePreprocessor,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
    body,
    list_bodies,
)
from keras_actrec.data.persons import Persons
from keras_actrec.data.preprocessors import Preprocessor
from keras_actrec.errors import UserError

_Kind = TypeVar("_Kind")


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelTable(pydantic.BaseModel):
    """`[model]`: the builder's name; everything else is an argument of that builder.

    Keys:
        name: one that `keras-actrec models` lists.
    """

    model_config = pydantic.ConfigDict(extra="allow", frozen=True, strict=True)

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The builder's arguments."""
        return dict(self.model_extra or {})


class DataTable(_Table):
    """`[data]`: how the videos are found and split. See `read_set` and `split_manifest`.

    Keys:
        dataset: an official set, one of `list_datasets`; without it a folder or a table of one's own.
        split: which split of the set, where it has several; by default the usual one.
        options: further options of the set's reader: `options = { class_order = "sorted" }`.
        manifest: name of a CSV file in the folder of the data.
        per_class: at most so many clips of a class are trained on; by default all.
        watch_test: tell after each epoch what is reached on the test part, in the columns of validation: a
            paper's curves over its official validation part, which is the test part here. Nothing can be
            chosen by it.
        split_seed: seed of the draws of the two fractions.
        on_error: whether a video that cannot be read ends the run, or is left out and named.
        max_skipped: largest share of the videos that may be left out.
    """

    dataset: str | None = None
    split: str | int | None = None
    options: dict[str, str | int] = {}
    manifest: str | None = None
    test_fold: int | str | None = None
    test_fraction: float = pydantic.Field(0.25, gt=0, lt=1)
    validation_fraction: float = pydantic.Field(0.0, ge=0, lt=1)
    per_class: int | None = pydantic.Field(None, ge=1, le=MOST)
    watch_test: bool = False
    split_seed: int = pydantic.Field(0, ge=0, le=MOST_SEED)
    on_error: Literal["raise", "skip"] = "raise"
    max_skipped: float = pydantic.Field(MAX_SKIPPED, ge=0, le=1)


class _SamplingTable(_Table):
    """What `[clip]` and `[features]` share: which frames or steps of a file. See `Sampling`.

    Keys:
        frames: frames, or steps, of a clip.
        method: `"segments"` takes one frame of each of as many equal parts of the file, `"tsn"` the same as
            TSN draws them; `"contiguous"` takes frames in a row, `"dense"` too, with more room to start
            (TSM, I3D); `"stride"` goes through the whole file; `"sequences"` are windows side by side.
        stride: frames from one to the next; 1 with `"segments"` and `"tsn"`, which span the whole file.
        frame_step: only every so many-th frame of the file is there for all of this.
        short: what becomes of a file with too few frames: `"stretch"` repeats some, `"first"` trains on the
            first alone, `"repeat"` goes on with the last, `"loop"` with the first again, `"mask"` fills up
            with what is masked. By default `"stretch"` with `"segments"` and `"tsn"`, `"loop"` with
            `"dense"`, else `"mask"`.
        num_clips: clips of a file that a test averages; 1 with `"stride"` and `"sequences"`.
        hop: frames from one of the `"sequences"` to the next; by default they lie end to end.
        speed: slowest and fastest rate of playing that training draws, such as `[0.8, 1.25]`.
    """

    frames: int = 16
    method: Literal["segments", "tsn", "contiguous", "dense", "stride", "sequences"] = "segments"
    stride: int = 1
    frame_step: int = 1
    short: Literal["stretch", "first", "repeat", "loop", "mask"] | None = None
    num_clips: int = 1
    hop: int | None = None
    speed: list[float] | None = None

    @property
    def sampling(self) -> Sampling:
        """The `Sampling`."""
        return _only(Sampling, self)


class ClipTable(_SamplingTable):
    """`[clip]`: which frames of a video, and at what size. See `Sampling` and `ClipTransform`.

    Where the names of two classes differ in left and right, or in the sense of turning alone, a `flip` that
    does not `swap` them, and crops that are mirrored, are refused.

    A test averages over `num_clips` times `num_crops` views.

    Keys:
        size: height and width in pixels of what the model sees.
        short_side: to which the short side is brought before a centered or random crop, at least `size`; by
            default 256 / 224 of it.
        crop: of training; a test takes the center, and with `"none"` the whole frame. `"random"` cuts
            anywhere, `"multiscale"` at some sizes and places (TSN), `"resized"` at any size and aspect;
            `"none"` brings the whole frame to the square.
        flip: whether training mirrors half of the clips.
        swap: pairs of class numbers that a mirror swaps, such as "left to right" and "right to left"; for
            Something-Something V1 `[[86, 87], [93, 94], [166, 167]]`.
        brightness: largest relative change in training, 0 to 1.
        contrast: largest relative change in training, 0 to 1.
        saturation: largest relative change in training, 0 to 1.
        rand_augment: so many operations of RandAugment change each clip in training.
        erasing: probability that training fills a box of the clip with noise.
        num_crops: crops of a clip that a test averages: 1, 2, 3, 6 or 10.
        shrink: longest short side of the frames that are cropped, which keeps a cache small; by default they
            stay as they are.
    """

    size: int = 224
    short_side: int | None = None
    crop: Literal["center", "random", "multiscale", "resized", "none"] = "center"
    flip: bool = False
    swap: list[list[int]] = []
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    rand_augment: int = 0
    magnitude: float | None = None
    erasing: float = 0.0
    num_crops: int = 1
    shrink: int | None = None

    @property
    def transform(self) -> ClipTransform:
        """The `ClipTransform`."""
        return _only(ClipTransform, self)

    def preprocessor(self, dataset: str | None) -> ClipPreprocessor:
        """How a model looks at videos, whatever set they are of."""
        return ClipPreprocessor(self.sampling, self.transform)


class FeaturesTable(_SamplingTable):
    """`[features]`, instead of `[clip]` for features of one's own: which steps of a file. See `Sampling`."""

    def preprocessor(self, dataset: str | None) -> FeaturePreprocessor:
        """How a model looks at features."""
        return FeaturePreprocessor(self.sampling)


class SkeletonTable(_Table):
    """`[skeleton]`, instead of `[clip]` for sets of joints. See `SkeletonTransform` and `Persons`.

    With `layout`, the name of a `body` such as `"coco17"`, joints have names: `center` is by default the
    body's own, else a joint's name or several, whose middle it is; `align = true` turns its hips,
    `mirror = true` swaps its left and right, `unit_size = "torso"` divides by the length of its trunk,
    `upright = true` turns it upright, and `streams` have its bones and hands: `["joints", "bones",
    "velocities", "bone_velocities", "posture", "distances"]`, or some of them.
    With `shown_as`, the name of another body, the model sees joints as those of that one, by name, so that
    it can start from a model of other data, or such a model from it; the other keys are then about that
    body. Without a layout joints are numbers. `center = "none"` leaves the origin where it is. `mirror` is
    refused where `[clip] flip` would be, unless `swap` has these classes.

    Keys:
        layout: the body, one of `list_bodies`.
        shown_as: the body as which the model sees it, one of `list_bodies`.
        frames: length of what the model sees.
        length: how it gets that: `"pad"` adds masked frames, or cuts; `"resample"` takes points evenly.
        center: joint, or several, whose place in the first frame becomes the origin; 1, the middle of the
            spine, is that of EleAttG on NTU RGB+D.
        align: `true`, or two joints: the line between them is turned along x.
        mirror: `true`, or pairs of joints, left and right: whether training mirrors half of the sequences.
        swap: pairs of class numbers that a mirrored sequence changes, such as "kick left" and "kick right".
        unit_size: whether coordinates are divided by their spread, or with `"torso"` by the trunk's length.
        upright: whether the trunk of the first frame is turned upright.
        streams: what is seen of each joint, in this order: `"joints"`, `"bones"`, `"velocities"`,
            `"bone_velocities"`, `"posture"`, `"distances"`.
        bodies: so many persons, 1 to 64, those that move most; by default all, as the file has them.
        min_score: a joint with a lower score was not seen.
        gap: joints that were not seen for so many frames, or fewer, are filled in between; at most 10,000.
        scores: whether the model sees the scores too.
        num_views: views of a sequence that a test averages: the sequence as it is, and others that are
            turned, scaled, cropped and paced as training draws it, the same ones every time.
    """

    layout: str | None = None
    shown_as: str | None = None
    frames: int = 300
    length: Literal["pad", "resample"] = "pad"
    center: int | str | list[str] = 1
    align: bool | list[int] | None = None
    rotation: float = 0.0
    scale: float = 0.0
    velocity: bool = False
    mirror: bool | list[list[int]] | None = None
    swap: list[list[int]] = []
    unit_size: bool | Literal["torso"] = False
    upright: bool = False
    view: float = 0.0
    shear: float = 0.0
    crop: float = 1.0
    speed: float = 0.0
    drop: float = 0.0
    streams: list[str] = ["joints"]
    bodies: int | None = None
    min_score: float = 0.0
    gap: int = 0
    scores: bool = False
    num_views: int = 1

    @pydantic.model_validator(mode="before")
    @classmethod
    def _center_of_body(cls, values: Any) -> Any:
        """Give the center that goes with the layout; an unknown one is refused later, by name."""
        seen = isinstance(values, dict) and (values.get("shown_as") or values.get("layout"))
        if seen in list_bodies():
            one, *others = body(seen).center
            return {"center": [one, *others] if others else one, **values}
        return values

    @property
    def transform(self) -> SkeletonTransform:
        """The `SkeletonTransform`.

        Raises:
            UserError: for a value out of range, or a name without a layout that has it.
        """
        if self.layout is not None:
            body(self.layout)  # which knows the name, or says the nearest
        if self.shown_as is not None:
            _body_named("shown_as", self.shown_as)
            self._named("shown_as")
        center: Any = self.center
        if center == "none":
            center = None
        elif not isinstance(center, int):
            center = self._named("center").place((center,) if isinstance(center, str) else tuple(center))
        align = self._named("align").hips if self.align is True else self.align or None
        mirror = self._named("mirror").pairs if self.mirror is True else self.mirror or None
        torso = self._trunk("unit_size") if self.unit_size == "torso" else None
        changes = {"center": center, "align": align, "mirror": mirror, "torso": torso}
        changes["unit_size"] = bool(self.unit_size)
        changes["upright"] = self._trunk("upright") if self.upright else None
        bones = any("bone" in each for each in self.streams)
        changes["bones"] = self._named("streams").lines if bones else ()
        changes["hands"] = self._named("streams").hands if "distances" in self.streams else None
        return _only(SkeletonTransform, self, **changes)

    def _trunk(self, key: str) -> tuple[tuple[int, ...], ...]:
        """The joints at both ends of the trunk."""
        named = self._named(key)
        return tuple(map(named.place, named.torso))

    def _named(self, key: str) -> Body:
        """The body whose joints a key names."""
        if self.layout is None:
            names = ", ".join(list_bodies())
            raise UserError(
                f"`{key}` names joints, so `layout` must name the body: {names}. "
                f"Received: {key}={getattr(self, key)!r}"
            )
        return body(self.shown_as or self.layout)

    def preprocessor(self, dataset: str | None) -> SkeletonPreprocessor:
        """How a model looks at the joints of a set."""
        persons = _only(Persons, self)
        return SkeletonPreprocessor(
            dataset or "", self.transform, layout=self.layout, persons=persons, shown_as=self.shown_as
        )


def _body_named(key: str, name: str) -> None:
    """Refuse the name of no body, with the nearest one."""
    if name not in list_bodies():
        hint = did_you_mean(name, list_bodies())
        raise UserError(f"`{key}` must be the name of a body; {hint}. Received: {key}={name!r}")


def _only(kind: Callable[..., _Kind], table: pydantic.BaseModel, **changes: Any) -> _Kind:
    """An object of a dataclass from the values of a table, and those that are not as the table has them."""
    names = inspect.signature(kind).parameters
    return kind(**{name: changes[name] if name in changes else getattr(table, name) for name in names})


_MOST_BATCHES = 10**9
_MOST_FACTOR = 3.4e38  # of rates and noise: float32 holds no more
# A number from 0 on, or below 1 a share; see `counted`.
_Number: TypeAlias = Annotated[int | float, pydantic.Field(ge=0, le=_MOST_BATCHES)]
_Positive: TypeAlias = Annotated[int | float, pydantic.Field(gt=0, le=_MOST_BATCHES)]
_NUMBERS = {
    "accumulate": "batches or a share of the data",
    "drop_after": "batches or a share of the run",
    "warmup_epochs": "epochs or a share of the run",
    "restart_after": "epochs or a share of the run",
    "unfreeze_after": "epochs or a share of the run",
}
# At most one of them can be set.
_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
# Keys of [train] that go with one choice of another key, and their defaults there; the site shows them.
GOES_WITH: dict[str, dict[str, dict[str, Any]]] = {
    "optimizer": {
        "sgd": {"momentum": 0.9, "nesterov": False},
        "adamw": {"weight_decay": 0.004},
        "rprop": {"rprop": "irprop-"},
    },
    "schedule": {
        "step": {"final_learning_rate": 1e-5, "drop_after": 10_000},
        "warmup_cosine": {"warmup_epochs": 10},
        "cosine_restarts": {"restart_after": 10, "restart_factor": 2.0},
        "multistep": {"milestones": [30, 60], "factor": 0.1},
        "plateau": {"factor": 0.1, "patience": 5, "cooldown": 3},
    },
}


class TrainTable(_Table):
    """`[train]`: how the model learns. The defaults are HM-AN's: Adam, 1e-4, then 1e-5 after 10,000 steps.

    A key that its `optimizer` or `schedule` has no use for is refused.

    Optimizers: `adam`, `sgd` (`momentum`, `nesterov`), `rmsprop`, `adamw` (`weight_decay`), and `rprop`
    (`rprop`: its variant, see `RPROP`), whose `learning_rate` is every weight's first step and which has no
    schedule, clipping or weight decay.

    Schedules of the learning rate. `drop_after`, `warmup_epochs`, `restart_after` and `milestones` are
    batches or epochs, as papers have them, or below 1 shares of the run, which fit data of any size:
        step: `learning_rate`, after `drop_after` batches `final_learning_rate` (HM-AN).
        constant: `learning_rate`.
        warmup_cosine: see `warmup_cosine`; a value for each epoch (GSM).
        cosine_restarts: half a cosine down to 0 over `restart_after` epochs, again and again, each time
            `restart_factor` times as long; a value for each batch (SGDR, arXiv 1608.03983).
        multistep: times `factor` at the epochs in `milestones`, counted from 0 (TSN, TSM).
        plateau: times `factor` when `monitor` has not improved for `patience` epochs, which are not counted
            for `cooldown` epochs after that (EleAttG).

    Keys:
        epochs: rounds through the training data.
        optimizer: see above.
        momentum: share of the update before that goes on.
        nesterov: whether the gradient is that of the place to which the momentum leads.
        rprop: variant of `RPROP`.
        learning_rate: at the start, or behind the warm-up.
        schedule: how the learning rate changes, see above.
        final_learning_rate: behind `drop_after`.
        drop_after: batches, or below 1 a share of the run.
        warmup_epochs: epochs in which the rate rises from a tenth, or below 1 a share of the run.
        restart_after: epochs until the first restart, or below 1 a share of the run.
        restart_factor: by which each stretch is longer than the one before.
        milestones: epochs, or below 1 shares of the run, at which the rate falls by `factor`.
        factor: by which the rate falls.
        patience: epochs without getting better until the rate falls.
        cooldown: epochs behind a fall that are not counted.
        monitor: what has to get better; by default `"val_accuracy"` with `keep = "best"`, `"accuracy"` with
            `early_stop` or `plateau`.

    Gradients:
        accumulate: batches an update, or below 1 the share of the training data, 0.01 for STRN's 1 %. An
            update takes the mean of its batches' gradients. What an epoch leaves over is taken into the next
            one's first update; what the last epoch leaves over is dropped. `drop_after` counts batches.
        clipnorm: longest gradient of each weight. At most one of the three clips, once an update.
        global_clipnorm: of all weights as one vector; this is what papers mean: Keras 2's `clipnorm=1.0`
            (EleAttG) and PyTorch's `clip_grad_norm_` (TSN, TSM, GSM) are `global_clipnorm` here.
        clipvalue: largest entry of a gradient.
        weight_decay: for `sgd`, `adam` and `rmsprop` times the weight added to the clipped gradient, as in
            PyTorch and the papers' code (`SGD`, `AdamL2`, `RMSpropL2`); for `adamw` times rate and weight
            taken from the weight, apart from Adam's step.
        decay: `"all"` weights (GSM), or `"kernels"`: no biases and no weights of normalizations (TSN).

    Others:
        train_backbone: whether a backbone is trained too, and not run once for its features.
        partial_bn: freeze all trained batch normalizations of the network but the first (TSN), both weights
            and statistics. Those inside gates are trained on.
        backbone_rate: factor of the learning rate for the weights of a backbone that is trained, or, in a
            network over whole clips, of all but the classifier; for a decay apart from the gradient too.
        unfreeze_after: epochs, or below 1 the share of the run, in which these weights stand still. The
            optimizer follows their gradients and batch normalizations the data meanwhile.
        ema: momentum of a moving average of the trained weights, updated after every batch; validation and
            the model that is kept use it. Statistics of batch normalizations are the last ones.
        mixed_precision: `"mixed_bfloat16"` or `"mixed_float16"` to compute in half precision. Weights, the
            features of a frozen backbone and the model that is kept are float32.
        remat: steps of a block of recurrent layers, which keeps the states before its first step alone and
            runs again for its gradient: less memory for long sequences, and more time, see `AttentiveRNN`. It
            changes no number but by rounding.
        early_stop: stop when `monitor` has not improved for so many epochs.
        keep: which weights the model that is kept has: the `"last"` epoch's, or those of the `"best"` one by
            `monitor`, a value of the validation part, then by default `"val_accuracy"`; of equal ones the
            first. With `ema` they are the averages that this validation has seen.
        class_weights: `"balanced"` weighs a clip's loss, and its part in the training accuracy, by N / (C n)
            for a class with n of the N clips of C classes: every class counts as much as any other.
        mixup: a and b of the Beta distribution by which two samples of a batch are mixed, and their labels;
            0 mixes none, 1 draws every mixture alike. See `Targets`. The training accuracy is then that of
            the mixtures, by the label with the larger share.
        cutmix: the same for parts of two samples: a box of all frames of clips, a stretch of time of
            skeletons and features, those of a frozen backbone too. With both, one is drawn for each batch.
        noise: of the values that the trained layers see, normal, times the standard deviation of a sample's.
        label_smoothing: share of the label that all classes divide evenly (arXiv 1512.00567), in the
            validation loss too.
        seed: of everything that is drawn.
        buckets: lengths of the samples of a batch, instead of one for all, see `ClipDataset`.
        workers: threads that read ahead, or, with `processes`, processes.
        processes: whether the workers are processes, which take 0.4 s to start and about 60 MB each; batches
            are the same.
        devices: devices of this machine, or of each process, that share each batch and train as one would:
            batch statistics, losses and metrics are those of the whole batch (JAX). It changes no number but
            by the order of sums.
    """

    epochs: int = pydantic.Field(60, ge=1, le=MOST_EPOCHS)
    batch_size: int = pydantic.Field(64, ge=1, le=MOST)
    optimizer: Literal["adam", "sgd", "rprop", "rmsprop", "adamw"] = "adam"
    momentum: float | None = pydantic.Field(None, ge=0, lt=1)
    nesterov: bool | None = None
    rprop: Literal["irprop-", "rprop+", "rprop-"] | None = None
    learning_rate: float = pydantic.Field(1e-4, gt=0, le=_MOST_FACTOR)
    schedule: Literal["step", "constant", "warmup_cosine", "cosine_restarts", "multistep", "plateau"] = "step"
    final_learning_rate: float | None = pydantic.Field(None, gt=0, le=_MOST_FACTOR)
    drop_after: _Positive | None = None
    warmup_epochs: _Number | None = None
    restart_after: _Positive | None = None
    restart_factor: float | None = pydantic.Field(None, ge=1, le=MOST_EPOCHS)
    milestones: list[int | float] | None = None
    factor: float | None = pydantic.Field(None, gt=0, lt=1)
    patience: int | None = pydantic.Field(None, ge=1, le=MOST_EPOCHS)
    cooldown: int | None = pydantic.Field(None, ge=0, le=MOST_EPOCHS)
    monitor: Literal["accuracy", "loss", "val_accuracy", "val_loss"] | None = None
    early_stop: int | None = pydantic.Field(None, ge=1, le=MOST_EPOCHS)
    keep: Literal["last", "best"] = "last"
    accumulate: _Positive = 1
    clipnorm: float | None = pydantic.Field(None, gt=0)
    global_clipnorm: float | None = pydantic.Field(None, gt=0)
    clipvalue: float | None = pydantic.Field(None, gt=0)
    weight_decay: float | None = pydantic.Field(None, gt=0, le=_MOST_FACTOR)
    decay: Literal["all", "kernels"] | None = None
    partial_bn: bool = False
    ema: float | None = pydantic.Field(None, gt=0, lt=1)
    mixed_precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    remat: int | None = pydantic.Field(None, ge=1, le=MOST)
    train_backbone: bool = False
    backbone_rate: float | None = pydantic.Field(None, gt=0, le=_MOST_FACTOR)
    unfreeze_after: _Positive | None = None
    class_weights: Literal["balanced"] | None = None
    mixup: float = pydantic.Field(0.0, ge=0, le=_MOST_FACTOR)
    cutmix: float = pydantic.Field(0.0, ge=0, le=_MOST_FACTOR)
    noise: float = pydantic.Field(0.0, ge=0, le=_MOST_FACTOR)
    label_smoothing: float = pydantic.Field(0.0, ge=0, lt=1)
    seed: int = pydantic.Field(0, ge=0, le=MOST_SEED)
    buckets: list[Annotated[int, pydantic.Field(ge=1, le=MOST)]] | None = None
    workers: int = pydantic.Field(2, ge=0, le=MOST_WORKERS)
    processes: bool = False
    devices: int = pydantic.Field(1, ge=1, le=MOST_WORKERS)

    @property
    def soft_labels(self) -> bool:
        """Whether labels are probabilities and not numbers."""
        return bool(self.mixup or self.cutmix or self.label_smoothing)

    @property
    def paces_backbone(self) -> bool:
        """Whether the backbone's weights have another rate than the others, or begin later."""
        return self.backbone_rate is not None or self.unfreeze_after is not None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Give the keys that go with the choices made their defaults."""
        if not isinstance(values, dict):
            return values
        schedule = "constant" if values.get("optimizer") == "rprop" else "step"
        values = {"schedule": schedule, **values}
        for key, tables in GOES_WITH.items():
            values = {**tables.get(str(values.get(key)), {}), **values}
        if values.get("keep") == "best":
            values = {"monitor": "val_accuracy", **values}
        if values["schedule"] == "plateau" or "early_stop" in values:
            values = {"monitor": "accuracy", **values}
        if "weight_decay" in values:
            values = {"decay": "all", **values}
        return values

    @pydantic.model_validator(mode="after")
    def _check(self) -> "TrainTable":
        """Refuse keys that do not go together."""
        used = {name for key, tables in GOES_WITH.items() for name in tables.get(getattr(self, key), ())}
        used.add("weight_decay")  # goes with other optimizers too, without a default
        settled = ["optimizer"] if self.optimizer == "rprop" else []  # which has no schedule
        for key, tables in GOES_WITH.items():
            for name in sorted({name for table in tables.values() for name in table} - used):
                choices = " or ".join(f"{key}={choice!r}" for choice in tables if name in tables[choice])
                self._refuse(name, f"goes with {choices}", *settled, key)
        if self.schedule != "plateau" and self.early_stop is None and self.keep == "last":
            reason = "goes with schedule='plateau', early_stop or keep='best'"
            self._refuse("monitor", reason, "schedule", "early_stop", "keep")
        if self.keep == "best" and not str(self.monitor).startswith("val_"):
            reason = "keep='best' goes by the validation part: val_accuracy or val_loss"
            self._refuse("monitor", reason, "keep")
        if self.weight_decay is None:
            self._refuse("decay", "goes with weight_decay", "weight_decay")
        if self.optimizer == "rprop":
            for name in (*_CLIPS, "weight_decay"):
                reason = "must be left out with optimizer='rprop', which looks at signs alone"
                self._refuse(name, reason, "optimizer")
            for name in ("backbone_rate", "unfreeze_after"):
                reason = "must be left out with optimizer='rprop', whose weights have no common rate"
                self._refuse(name, reason, "optimizer")
            if self.schedule != "constant":
                reason = "must be left out with optimizer='rprop', which adapts its own steps"
                self._refuse("schedule", reason, "optimizer")
        clips = [name for name in _CLIPS if getattr(self, name) is not None]
        for name in clips[1:]:
            self._refuse(name, f"only one of {', '.join(_CLIPS)} can be set", *clips)
        for name, meaning in _NUMBERS.items():
            value = getattr(self, name)
            if value is not None and value > 1 and int(value) != value:
                self._refuse(name, f"input should be a number of {meaning} below 1")
        if self.milestones is not None and not _rise(self.milestones):
            self._refuse(
                "milestones", "input should be rising epochs, from 1 on, or rising shares of the run"
            )
        return self

    def _refuse(self, name: str, reason: str, *choices: str) -> None:
        """Refuse a key that is set. It falls away where `--set` changes one of the choices."""
        value = getattr(self, name)
        if value is None:
            return
        line = f"train.{name}: {reason}. Received: {value!r}"
        # Of keys that exclude each other, each is a choice against the others.
        names = choices if name in choices else (name,)
        pairs = tuple((one, other) for one in names for other in choices if one != other)
        raise PydanticCustomError("together", "{line}", {"line": line, "pairs": pairs})


def counted(number: float, total: int, least: int = 1) -> int:
    """A number of batches or epochs: `number` itself, or below 1 that share of `total`, `least` or more."""
    return int(number) if number >= 1 else max(least, round(number * total))


def _rise(milestones: list[int | float]) -> bool:
    """Whether they are whole numbers from 1 on, or shares, each once and in order."""
    whole = all(each >= 1 and int(each) == each for each in milestones)
    shares = all(0 < each < 1 for each in milestones)
    return bool(milestones) and (whole or shares) and milestones == sorted(set(milestones))


# What files can be, and the table that says what is seen of them.
SAMPLE_TABLES = {"videos": "clip", "skeletons": "skeleton", "features": "features"}


class Recipe(_Table):
    """A training run, as the tables of a TOML file say: `[model]`, `[data]`, `[train]`, and one of these.

    What is seen of a file: `[clip]` of a video, `[skeleton]` of joints, `[features]` of one's own features.
    """

    model: ModelTable
    data: DataTable = DataTable()
    clip: ClipTable | None = None
    skeleton: SkeletonTable | None = None
    features: FeaturesTable | None = None
    train: TrainTable = TrainTable()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _with_clip(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values if values.keys() & set(SAMPLE_TABLES.values()) else {"clip": {}, **values}

    @property
    def sample(self) -> ClipTable | SkeletonTable | FeaturesTable:
        """`[clip]`, `[skeleton]` or `[features]`."""
        return self.skeleton or self.features or self.clip or ClipTable()

    @property
    def preprocessor(self) -> Preprocessor:
        """How the model looks at a file."""
        return self.sample.preprocessor(self.data.dataset)

    @property
    def frames(self) -> int:
        """T, the steps of a sample."""
        return self.sample.frames

    def to_toml(self) -> str:
        """The recipe as TOML, every value spelled out."""
        return to_toml(self.model_dump(exclude_none=True))
