"""What a recipe trains, and on what: the data, the model that is kept, and the view of it that is trained."""

import functools
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_actrec import backbones, zoo
from keras_actrec._types import PathLike, Shape, StageProgress
from keras_actrec.bodies import list_bodies
from keras_actrec.checkpoints import LoadReport
from keras_actrec.data import Audit, CachedVideo, Manifest, Record, VideoError, read_set, split_manifest
from keras_actrec.data.preprocessors import Indexed, Preprocessor
from keras_actrec.errors import UserError
from keras_actrec.layers import AttentiveRNN
from keras_actrec.training.devices import by_shares
from keras_actrec.training.sides import check_sides
from keras_actrec.training.start import Start
from keras_actrec.training.tables import SAMPLE_TABLES, DataTable, Recipe
from keras_actrec.training.targets import Targets
from keras_actrec.zoo import ModelSpec


@dataclass(frozen=True)
class Prepared:
    """A recipe and data, ready for `fit`.

    Attributes:
        recipe: what is trained.
        manifest: of the whole set.
        parts: the records of each part.
        skipped: one error for every file that cannot be read.
        model: the model that is kept.
        spec: what it is.
        preprocessor: how the model looks at a file, with what the data has told of it.
        learner: the model that is trained: a view on the layers of `model`; see `put_back` for the exception.
        datasets: for `train`, and for `validation` where that part is not empty.
        class_weights: of the training part's classes, `(C,)`, where `train.class_weights` asks for them.
        start: what was loaded of the trained model that it starts from, if there is one.
        clip: frames of a training clip in the middle, and frames a second of it, 0 where that is not known.
    """

    recipe: Recipe
    manifest: Manifest
    parts: dict[str, tuple[Record, ...]]
    skipped: tuple[VideoError, ...]
    model: keras.Model
    spec: ModelSpec
    preprocessor: Preprocessor
    learner: keras.Model
    datasets: dict[str, keras.utils.PyDataset]
    class_weights: np.ndarray | None = None
    start: LoadReport | None = None
    clip: tuple[int, float] = (0, 0.0)

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return len(self.datasets["train"])

    @property
    def targets(self) -> dict[str, Targets]:
        """The datasets with a label, and if need be a weight, for each answer of the learner."""
        table = self.recipe.train
        classes = len(self.manifest.class_names) if table.soft_labels else None
        make = functools.partial(Targets, per_step=self.spec.per_step, num_classes=classes)
        targets = {part: make(dataset) for part, dataset in self.datasets.items()}
        targets["train"] = make(
            self.datasets["train"],
            class_weights=self.class_weights,
            mixup=table.mixup,
            cutmix=table.cutmix,
            in_time=self.spec.input_name != "clip" or trains_on_features(self.recipe, self.spec),
            noise=table.noise,
            seed=table.seed,
        )
        return targets

    def put_back(self) -> None:
        """Give `model` what the learner has learned, and take what was for training alone from its layers.

        In half precision the learner is a build of its own.
        """
        for layer in _loops(self.learner):
            layer.remat = None
        if self.recipe.train.mixed_precision != "float32":
            _copy_weights(self.learner, self.model)


def prepare(
    recipe: Recipe,
    manifest: Manifest,
    parts: dict[str, tuple[Record, ...]],
    *,
    out: Path,
    start: Start | None = None,
    cache: PathLike | None = None,
    audit: Audit | None = None,
    verify: bool = False,
    progress: StageProgress,
) -> Prepared:
    """Read the files, build the model, and make the view of it that is trained.

    Args:
        recipe: what is trained.
        manifest: of the whole set, from `read_data`.
        parts: of the set, from `read_data`.
        out: the run directory: features of a frozen backbone are kept in `out/cache` where `cache` is None.
        start: the trained model whose weights it starts from.
        cache: folder for what is computed once.
        audit: videos that it knows are not read through again.
        verify: whether files that the cache knows are hashed again.
        progress: as of `train`.

    Raises:
        UserError: for files that cannot be trained on, or a model that cannot be built.
    """
    names = manifest.class_names
    check_sides(recipe, names)
    if recipe.preprocessor.cacheable:
        model, spec = build_model(recipe, len(names))
    else:  # the first file tells the size of a step, and all together how many persons there are
        _try_building(recipe, len(names), parts["train"])
    indexed, skipped = _indexed(recipe, parts, audit, progress)
    _check_classes(indexed["train"], names)

    if not recipe.preprocessor.cacheable:
        model, spec = build_model(recipe, len(names), indexed["train"])
    report = start.load(model, names) if start else None
    learner = _learner(recipe, model, spec, indexed["train"])
    kept = indexed
    folder = cache or (out / "cache" if trains_on_features(recipe, spec) else None)
    if folder is not None and recipe.preprocessor.cacheable:
        kept = _kept(recipe, model, spec, indexed, folder, audit, verify, progress)
    datasets = {
        part: _batches(recipe, spec, items, training=part == "train") for part, items in kept.items() if items
    }
    weights = None
    if recipe.train.class_weights == "balanced":
        weights = _balanced([record.label for record, _ in indexed["train"]])
    return Prepared(
        recipe,
        manifest,
        parts,
        tuple(skipped),
        model,
        spec,
        _told(recipe, indexed),
        learner,
        datasets,
        weights,
        report,
        _clip_in_the_middle(indexed["train"]),
    )


def _indexed(
    recipe: Recipe, parts: dict[str, tuple[Record, ...]], audit: Audit | None, progress: StageProgress
) -> tuple[dict[str, Indexed], list[VideoError]]:
    """What is known of the files of each part that is trained on or watched, and the errors of bad ones."""
    indexed: dict[str, Indexed] = {}
    skipped: list[VideoError] = []
    for part in ("train", "validation"):
        # The training part tells the form of joints, which the other one has to have.
        indexed[part], broken = _told(recipe, indexed).index(
            parts[part],
            on_error=recipe.data.on_error,
            max_skipped=recipe.data.max_skipped,
            audit=audit,
            progress=lambda done, total, part=part: progress("videos", done, total, part),
        )
        skipped += broken
    return indexed, skipped


def _told(recipe: Recipe, indexed: dict[str, Indexed]) -> Preprocessor:
    """The recipe's preprocessor, with what the parts have told of it."""
    preprocessor = recipe.preprocessor
    for items in indexed.values():
        preprocessor = preprocessor.of(items)
    return preprocessor


def _kept(
    recipe: Recipe,
    model: keras.Model,
    spec: ModelSpec,
    indexed: dict[str, Indexed],
    out: PathLike,
    audit: Audit | None,
    verify: bool,
    progress: StageProgress,
) -> dict[str, Indexed]:
    """What was indexed, with what is computed once of it: features of a frozen backbone, or frames."""
    keep = caching(recipe, model.output_shape[-1], model=model)
    stage = "features" if trains_on_features(recipe, spec) else "frames"
    kept: dict[str, Indexed] = {}
    for part, items in indexed.items():
        if items:
            step = functools.partial(
                keep,
                out=out,
                index=None,
                audit=audit,
                verify=verify,
                progress=lambda done, total, part=part: progress(stage, done, total, part),
            )
            kept[part] = by_shares(step, items)
    return kept


def _clip_in_the_middle(indexed: Indexed) -> tuple[int, float]:
    """Frames, and frames a second, by the median of each; joints and features have no rate."""
    frames = [len(found) if isinstance(found, np.ndarray) else found.frames for _, found in indexed]
    rates = [getattr(found, "fps", 0.0) for _, found in indexed]
    return statistics.median_low(frames), statistics.median_low(rates)


def read_data(table: DataTable, data: PathLike) -> tuple[Manifest, dict[str, tuple[Record, ...]]]:
    """Read and split the data as `[data]` of a recipe says: the manifest and its parts."""
    manifest = read_set(
        data, dataset=table.dataset, split=table.split, manifest=table.manifest, options=table.options
    )
    parts = split_manifest(
        manifest,
        test_fold=table.test_fold,
        test_fraction=table.test_fraction,
        validation_fraction=table.validation_fraction,
        per_class=table.per_class,
        seed=table.split_seed,
    )
    if table.watch_test:
        if parts["validation"]:
            raise UserError("data.watch_test=true is for data without a validation part: leave it out")
        parts["validation"] = parts["test"]
    return manifest, parts


def check(recipe: Recipe, num_classes: int) -> None:
    """Refuse what does not go together in `[model]` and the table of what is seen, before files are read.

    Args:
        recipe: what is trained.
        num_classes: number of classes of the data.

    Raises:
        UserError: for such a recipe.
    """
    spec, preprocessor = spec_of(recipe), recipe.preprocessor
    if spec.input_name != preprocessor.name:
        table = SAMPLE_TABLES[preprocessor.files]
        if spec.input == "clip":
            raise UserError(f"{spec.name} takes clips of videos: write [clip] instead of [{table}]")
        if "backbone" not in spec.arguments:
            raise UserError(f"{spec.name} takes joints: write [skeleton] instead of [{table}]")
        if spec.backbone:
            raise UserError(f"{preprocessor.files} go past a backbone: leave model.backbone out")
        raise UserError(
            f"videos need a backbone: set model.backbone, one of {', '.join(backbones.list_backbones())}"
        )
    if trains_on_features(recipe, spec) and preprocessor.drawn:
        raise UserError(
            "a frozen backbone sees every frame once, so none can be changed at random: leave "
            f"{', '.join(f'clip.{name}' for name in preprocessor.drawn)} out (clip.speed, train.noise, "
            "train.mixup and train.cutmix change what comes behind it), or set train.train_backbone=true"
        )
    if recipe.train.paces_backbone and (spec.input_name != "clip" or trains_on_features(recipe, spec)):
        name = "backbone_rate" if recipe.train.backbone_rate else "unfreeze_after"
        how = "set train.train_backbone=true, or leave it" if spec.backbone else "leave it"
        raise UserError(f"train.{name} is about a backbone that is trained: {how} out")
    if preprocessor.masks and not zoo.spec(spec.name).masked:
        raise UserError(f"{spec.name} has no mask for padding: set {preprocessor.whole}")
    preprocessor.check_classes(num_classes)


def trains_on_features(recipe: Recipe, spec: ModelSpec) -> bool:
    """Whether the model has a frozen backbone, which is run once, and what is behind it is trained."""
    return spec.backbone and not recipe.train.train_backbone


def build_model(recipe: Recipe, num_classes: int, indexed: Indexed = ()) -> tuple[keras.Model, ModelSpec]:
    """The model of the recipe, and its specification.

    Args:
        recipe: what is trained.
        num_classes: number of classes.
        indexed: of the recipe's preprocessor; that of skeletons and features tells the size of a step.

    Raises:
        UserError: for arguments that do not fit the model, or joints that are not those that it counts.
    """
    _check_joints(recipe, indexed)
    model = _build(recipe, num_classes, recipe.preprocessor.shape(indexed))
    spec = zoo.spec(model)
    if spec.backbone and recipe.train.train_backbone:
        zoo.backbone(model).trainable = True
    return model, spec


def _check_joints(recipe: Recipe, indexed: Indexed) -> None:
    """Refuse a model that counts other joints than it is shown, which a step may have channels enough for."""
    preprocessor = recipe.preprocessor.of(indexed)
    form, seen = preprocessor.form, preprocessor.body
    if form is None:
        return
    values = {**spec_of(recipe).arguments, **recipe.model.arguments}
    if "layout" in values:
        name, bodies = values["layout"], values["bodies"]
        if seen is None or (name in list_bodies() and name != seen.name):
            fix = f"skeleton.layout={name!r}" if seen is None else f"model.layout={seen.name!r}"
            shown = "without names" if seen is None else f"as {seen.name}"
            raise UserError(f"model.layout is {name}, and the joints are shown {shown}: set {fix}")
        if bodies != form.bodies:
            raise UserError(
                f"model.bodies is {bodies}, and the files show {form.bodies}: set "
                f"model.bodies={form.bodies}, or skeleton.bodies={bodies}, which makes them as many"
            )
    count = form.bodies * form.joints
    if values.get("joints") not in (None, count):
        raise UserError(
            f"model.joints is {values['joints']}, and the files show {form.bodies} x {form.joints} joints: "
            f"set model.joints={count}, or skeleton.bodies to the number of persons"
        )


def first_shown(recipe: Recipe, records: Sequence[Record]) -> Indexed:
    """What `build_model` must be shown of the data: the first file that can be read, but for videos."""
    if recipe.preprocessor.cacheable:
        return ()
    for record in records:
        indexed, _ = recipe.preprocessor.index([record], on_error="skip", max_skipped=1.0)
        if indexed:
            return indexed
    raise UserError("no file of the training part can be read")


def _try_building(recipe: Recipe, num_classes: int, records: Sequence[Record]) -> None:
    """Refuse what the builder refuses, without drawing anything from what the weights are drawn from."""
    try:
        shown = first_shown(recipe, records)
    except UserError:  # that no file can be read is said when they are, one by one
        return
    states = random.getstate(), np.random.get_state()
    try:
        build_model(recipe, num_classes, shown)
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def caching(
    recipe: Recipe, num_classes: int, *, model: keras.Model | None = None, batch_size: int | None = None
) -> Callable[..., list[tuple[Record, CachedVideo]]]:
    """How what training as a recipe says reads of its files is kept.

    Args:
        recipe: what is trained.
        num_classes: number of classes of the data.
        model: the recipe's model, if it has been built.
        batch_size: frames that a backbone sees at a time; by default as many as are fastest.

    Returns:
        A function of pairs `(Record, VideoInfo)` and `out`, with the options that `extract_features` and
        `cache_frames` share, that gives pairs of a `Record` and a `CachedVideo`.

    Raises:
        UserError: for a recipe of skeletons or features, a model without a backbone that needs one, or a
            frozen one and a random crop, flip or color.
    """
    preprocessor = recipe.preprocessor
    if not preprocessor.cacheable:
        table, files = SAMPLE_TABLES[preprocessor.files], preprocessor.files
        raise UserError(f"a recipe with [{table}] reads {files}, of which nothing is computed once")
    check(recipe, num_classes)
    if not trains_on_features(recipe, spec_of(recipe)):
        return preprocessor.cached
    model = model or build_model(recipe, num_classes)[0]
    return functools.partial(
        preprocessor.extracted, backbone=zoo.backbone(model).network, batch_size=batch_size
    )


def _balanced(labels: Sequence[int]) -> np.ndarray:
    """Weights of classes: N / (C n_c), with which every class counts as much as any other."""
    counts = np.bincount(labels)
    return (len(labels) / (len(counts) * counts)).astype("float32")


def spec_of(recipe: Recipe) -> ModelSpec:
    """What the model of the recipe will be."""
    return zoo.spec(recipe.model.name).built({**recipe.model.arguments, "masked": recipe.preprocessor.masks})


def _build(recipe: Recipe, num_classes: int, shape: Shape, **changes: Any) -> keras.Model:
    """The model of the recipe for samples of a shape; `changes` replace arguments, None leaves one out."""
    spec = spec_of(recipe)
    steps = shape[0] if spec.input == "clip" else None
    arguments = {**recipe.model.arguments, "input_shape": (steps, *shape[1:])}
    if recipe.preprocessor.masks:
        arguments["masked"] = True
    arguments.update(changes)
    arguments = {key: value for key, value in arguments.items() if value is not None}
    try:
        return zoo.build(spec.name, num_classes, **arguments)
    except Exception as error:  # a builder's own refusal, Keras's, or a backend's that memory is short
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{spec.name} cannot be built as [model] says: {reason}") from error


def _learner(recipe: Recipe, model: keras.Model, spec: ModelSpec, indexed: Indexed) -> keras.Model:
    """The model that is trained."""
    learner = _view_or_twin(recipe, model, spec, indexed)
    if recipe.train.remat is not None:
        loops = _loops(learner)
        if not loops:
            raise UserError(
                f"train.remat is about recurrent layers, and {spec.name} has none of this library's: "
                "leave it out"
            )
        for layer in loops:
            layer.remat = recipe.train.remat
    return learner


def _loops(learner: keras.Model) -> list[AttentiveRNN]:
    """The recurrent layers, those inside of others too."""
    return [layer for layer in learner._flatten_layers() if isinstance(layer, AttentiveRNN)]


def _view_or_twin(recipe: Recipe, model: keras.Model, spec: ModelSpec, indexed: Indexed) -> keras.Model:
    on_features = trains_on_features(recipe, spec)
    view = zoo.training_view(model, spec, on_features=on_features)
    policy = recipe.train.mixed_precision
    if policy == "float32":
        return view
    # Half precision alone needs a second build: layers compute in the type that they were built with, and the
    # model that is kept, like the features of a frozen backbone, is float32.
    shape, changes = recipe.preprocessor.shape(indexed), {"weights": None}
    if on_features:
        shape = (view.input_shape["features"] if spec.masked else view.input_shape)[1:]
        changes["backbone"] = None
    with _dtype_policy(policy):
        twin = _build(recipe, model.output_shape[-1], shape, **changes)
        learner = zoo.training_view(twin, zoo.spec(twin))
    if spec.backbone and not on_features:
        zoo.backbone(twin).trainable = True
    _copy_weights(view, learner)
    return learner


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of the layers that two builds of a model share."""
    for layer in source.layers:
        if layer.weights:
            target.get_layer(layer.name).set_weights(layer.get_weights())


def _batches(recipe: Recipe, spec: ModelSpec, items: Indexed, training: bool) -> keras.utils.PyDataset:
    table = recipe.train
    preprocessor = recipe.preprocessor
    make: Callable[..., keras.utils.PyDataset] = preprocessor.batches
    if preprocessor.cacheable and trains_on_features(recipe, spec):
        make = preprocessor.feature_batches
    return make(
        items,
        training=training,
        batch_size=table.batch_size,
        seed=table.seed,
        masked=spec.masked,
        buckets=table.buckets,
        workers=table.workers,
        processes=table.processes,
    )


def _check_classes(items: Indexed, names: Sequence[str]) -> None:
    if not items:
        raise UserError("no video is left to train on: all were skipped")
    present = {record.label for record, _ in items}
    missing = [name for label, name in enumerate(names) if label not in present]
    if missing:
        raise UserError(f"no video of class {missing[0]!r} is left to train on")


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
