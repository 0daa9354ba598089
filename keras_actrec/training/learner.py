"""What is trained, and on what: the model of a recipe, its batches and how they are read."""

import functools
from contextlib import contextmanager

import keras
import numpy as np

from keras_actrec import backbones, zoo
from keras_actrec.data import FeatureDataset, cache_frames, extract_features
from keras_actrec.errors import UserError


def check_input(recipe, num_classes):
    """Refuse what does not go together in `[model]` and `[clip]`."""
    if recipe.skeleton is not None:
        return
    if not _sees_clips(recipe) and recipe.model.arguments.get("backbone") is None:
        raise UserError(
            f"videos need a backbone: set model.backbone, one of {', '.join(backbones.list_backbones())}"
        )
    if on_features(recipe) and recipe.clip.transform.is_random:
        raise UserError(
            "a frozen backbone sees every frame once, so nothing can be flipped, cropped or recolored at "
            "random: set clip.flip=false, clip.crop='center' and no colors, or train.train_backbone=true"
        )
    foreign = [label for pair in recipe.clip.swap for label in pair if label >= num_classes]
    if foreign:
        raise UserError(f"clip.swap names class {foreign[0]}, but there are {num_classes}, from 0 on")


def on_features(recipe):
    """Whether the model has a frozen backbone, which is run once, and what stands behind it is trained."""
    return recipe.skeleton is None and not (recipe.train.train_backbone or _sees_clips(recipe))


def _sees_clips(recipe):
    """Whether the model is one network over clips, without a backbone that could be frozen and run once."""
    return zoo.arguments_of(recipe.model.name).get("backbone", "") is not None


def build_model(recipe, num_classes, indexed):
    """The model of the recipe, for what `indexed`, pairs of the recipe's input, shows."""
    return _build(recipe, num_classes, _shape(recipe, indexed))


def _shape(recipe, indexed):
    """Shape of what the model sees of a file, without the batch."""
    if recipe.skeleton is not None:
        joints = indexed[0][1]
        return None, recipe.preprocessor.transform(joints)[0].shape[1]
    return (recipe.clip.frames if _sees_clips(recipe) else None, recipe.clip.size, recipe.clip.size, 3)


def _build(recipe, num_classes, shape, **changes):
    """The model of the recipe; `changes` replace arguments, None leaves one out."""
    name = recipe.model.name
    arguments = {**recipe.model.arguments, "input_shape": shape}
    if recipe.preprocessor.masks:
        if "masked" not in zoo.arguments_of(name):
            whole = "clip.short='stretch'" if recipe.skeleton is None else "skeleton.length='resample'"
            raise UserError(f"{name} has no mask for padding: set {whole}")
        arguments["masked"] = True
    arguments.update(changes)
    arguments = {key: value for key, value in arguments.items() if value is not None}
    try:
        model = zoo.build(name, num_classes, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} cannot be built as [model] says: {_one_line(error)}") from error
    if recipe.train.train_backbone and not _sees_clips(recipe):
        model.get_layer("backbone").trainable = True
    return model


def caching(recipe, num_classes, *, model=None, batch_size=32):
    """How what training as a recipe says reads of its videos is stored.

    Args:
        recipe: a `Recipe`.
        num_classes: number of classes of the data.
        model: the recipe's model, if it has been built.
        batch_size: frames that a backbone sees at a time.

    Returns:
        `cache_frames`, or, where the model has a frozen backbone, `extract_features`, to be called with pairs
        `(Record, VideoInfo)`, `out` and what both of them take.

    Raises:
        UserError: a recipe of skeletons, a model without a backbone that needs one, or a frozen one and
            something that is drawn.
    """
    if recipe.skeleton is not None:
        raise UserError("a recipe with [skeleton] reads joints, of which nothing is computed once")
    check_input(recipe, num_classes)
    transform, frame_step = recipe.clip.transform, recipe.clip.frame_step
    if not on_features(recipe):
        return functools.partial(cache_frames, transform=transform, frame_step=frame_step)
    model = model or build_model(recipe, num_classes, ())
    network = model.get_layer("backbone").network
    return functools.partial(
        extract_features, backbone=network, transform=transform, stride=frame_step, batch_size=batch_size
    )


def learner_of(recipe, model, indexed, cache):
    """The model that is trained, which answers at every step where it can, and its data.

    Args:
        recipe: a `Recipe`.
        model: the recipe's model.
        indexed: dict of part to pairs of the recipe's input.
        cache: called with a part and its pairs, gives the pairs of what is cached.

    Returns:
        A model, maybe `model` itself, and a dict of part to dataset.
    """
    table, num_classes = recipe.train, model.output_shape[-1]
    steps = {"return_sequences": True} if has_steps(recipe) else {}
    options = {
        "batch_size": table.batch_size,
        "seed": table.seed,
        "masked": recipe.preprocessor.masks,
        "buckets": table.buckets,
        "workers": table.workers,
        "processes": table.processes,
    }
    make, learner = recipe.preprocessor.batches, model
    with _dtype_policy(table.mixed_precision):
        if on_features(recipe):
            make = functools.partial(FeatureDataset, sampling=recipe.clip.sampling.of_kept())
            shape = model.get_layer("backbone").output.shape[1:]
            learner = _build(recipe, num_classes, shape, backbone=None, weights=None, **steps)
        elif steps or table.mixed_precision != "float32":
            learner = _build(recipe, num_classes, _shape(recipe, indexed["train"]), weights=None, **steps)
    if learner is not model:
        zoo.copy_weights(model, learner)
    datasets = {
        part: make(cache(part, items), training=part == "train", **options)
        for part, items in indexed.items()
        if items
    }
    return learner, datasets


@contextmanager
def _dtype_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def has_steps(recipe):
    """Whether the model answers at every step."""
    return "return_sequences" in zoo.arguments_of(recipe.model.name)


class PerStep(keras.utils.PyDataset):
    """Repeats a clip's label at every step; steps that the mask leaves out weigh nothing."""

    def __init__(self, dataset):
        super().__init__(workers=0)
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        x, y = self.dataset[index]
        steps = (next(iter(x.values())) if isinstance(x, dict) else x).shape[1]
        y = np.repeat(y[:, None], steps, axis=1)
        return (x, y, x["mask"].astype("float32")) if isinstance(x, dict) else (x, y)


def _one_line(error):
    return " ".join(str(error).split())
