"""Why a model answered as it did: where it looked, when it decided, and what spoke for its answer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from keras_actrec import zoo
from keras_actrec._suggest import did_you_mean
from keras_actrec._types import PathLike
from keras_actrec.data import Body, expand_sources
from keras_actrec.data._tables import read_cuts
from keras_actrec.data.sources import lists_files
from keras_actrec.data.transforms import Region
from keras_actrec.errors import UserError
from keras_actrec.insight._skeleton import origin_of
from keras_actrec.recognizer import Recognizer

OPERATIONS = ("UPDATE", "COPY", "FLUSH")  # of a layer of HM-RNN


@dataclass(frozen=True, eq=False)
class Shifts:
    """What a gate-shift module moves to the frames beside.

    Attributes:
        layer: its name.
        gates: `(T, H, W, 2)`, from -1 to 1, of either half of its channels: what comes from the next frame,
            and from the one before.
    """

    layer: str
    gates: np.ndarray


@dataclass(frozen=True, eq=False)
class SelfAttention:
    """What one cell attends to.

    Attributes:
        layer: name of the layer.
        cell: row and column, from 0 on, of the cell that attends.
        shares: `(T, H, W)`. Over a frame, those of each frame add up to 1, and the cell is that of the frame.
            Over time or a clip all add up to 1, and the cell is that of the step with the most evidence.
        gamma: the weight of all that is attended to; near 0 the attention changes nothing.
    """

    layer: str
    cell: tuple[int, int]
    shares: np.ndarray
    gamma: float


@dataclass(frozen=True)
class Relation:
    """What the relation among some frames speaks for.

    Attributes:
        frames: numbers of the steps, from 0 on.
        evidence: its part of the answer's logit, against the mean of all classes.
    """

    frames: tuple[int, ...]
    evidence: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model saw in one file, step by step. Steps where `mask` is false are padding.

    T are the steps, C the classes. What a model does not have is None.

    Attributes:
        path: the file.
        frames: uint8 `(T, H, W, 3)`, RGB, as they are in the video; None of skeletons and features.
        mask: bool `(T,)`, true where the step counts.
        attention: share of each of K x K cells of what the model saw in what it looked at, `(T, K, K)`,
            adding up to 1 in every step; hard attention has a single 1.
        boundaries: share of each layer's detectors that saw a segment end, `(T, L)`, lowest layer first; 0
            or 1 where a layer has one detector.
        temperature: of the attention, `(T,)`. None for an attention without one.
        steps: probabilities at every step `(T, C)`: the answer to each step as if it were all, or, of models
            that answer by their last state, the one up to it. `trn` has none.
        scores: the answer `(C,)`.
        class_names: name of every class id.
        true_label: what the file shows, where that is known.
        model_name: name of the model.
        region: the part of the frames that the model saw; None is all of them.
        seconds: from the start of the video, `(T,)`; None where nothing tells.
        updates: share of each layer's units that did UPDATE, `(T, L)`, see `operations`.
        evidence: Grad-CAM, `(T, K, K)`, from 0 to 1, the largest of the clip: which places of the last
            feature maps spoke for the answer.
        gates: of the first recurrent layer that has them, `(T, D)`.
        joints: `(T, bodies, joints, 3)`, as the model saw them; a missing joint is zeros.
        body: names of the joints and the bones between them, where they are known.
        origin: joint of the first person that is at zero, and not missing there.
        shifts: of GSM and SA-GSM.
        self_attention: of SA-GSM.
        relations: of TRN, those of two frames first.
        views: how many clips and crops of the file `predict` averages, of which this is one; None where that
            depends on its length.

    Raises:
        UserError: for a `true_label` that is no class.
    """

    path: Path
    frames: np.ndarray | None
    mask: np.ndarray
    attention: np.ndarray | None
    boundaries: np.ndarray | None
    temperature: np.ndarray | None
    steps: np.ndarray | None
    scores: np.ndarray
    class_names: tuple[str, ...]
    true_label: str | None = None
    model_name: str = "model"
    region: Region | None = None
    seconds: np.ndarray | None = None
    updates: np.ndarray | None = None
    evidence: np.ndarray | None = None
    gates: np.ndarray | None = None
    joints: np.ndarray | None = None
    body: Body | None = None
    origin: int | None = None
    shifts: Shifts | None = None
    self_attention: SelfAttention | None = None
    relations: tuple[Relation, ...] = ()
    views: int | None = 1

    def __post_init__(self) -> None:
        if self.true_label is not None and self.true_label not in self.class_names:
            raise UserError(
                f"`true_label` must be a class of the model, one of {', '.join(self.class_names)}. "
                f"Received: true_label={self.true_label!r}"
            )

    @property
    def label(self) -> str:
        """The class with the highest score."""
        return self.class_names[int(np.argmax(self.scores))]

    @property
    def score(self) -> float:
        """The score of `label`."""
        return float(np.max(self.scores))

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        """Pairs of class name and score, best first."""
        order = np.argsort(-self.scores, kind="stable")[:count]
        return [(self.class_names[label], float(self.scores[label])) for label in order]

    @property
    def operations(self) -> np.ndarray | None:
        """Share of each layer's units that did UPDATE, COPY and FLUSH, `(T, L, 3)`, adding up to 1.

        A unit does FLUSH where its own detector fired at the step before, else UPDATE where that of the layer
        below fires at this one (the first layer's always does), else COPY (HM-RNN).
        """
        if self.boundaries is None or self.updates is None:
            return None
        flushes = np.concatenate([np.zeros_like(self.boundaries[:1]), self.boundaries[:-1]])
        return np.stack([self.updates, 1 - self.updates - flushes, flushes], axis=-1)


def explain(
    recognizer: Recognizer,
    path: PathLike,
    true_label: str | None = None,
    *,
    layer: str | None = None,
    cell: tuple[int, int] | None = None,
    crop: int | None = None,
    evidence: bool = True,
) -> Explanation:
    """Run a model on one file and keep what its layers did, on the same weights and layers.

        explanation = insight.explain(keras_actrec.load("model.keras"), "clip.mp4")
        explanation.evidence.shape  # (T, K, K)

    Every model of the zoo can be explained: `zoo.spec(name).trace` is what its layers show. Behind feature
    maps there is Grad-CAM in addition, and all but `trn` have an answer at every step.

    Args:
        recognizer: the model, as `keras_actrec.load` returns it.
        path: the file: a video, a skeleton sequence or features, as the model was trained on.
        true_label: name of the class that it shows, if known.
        layer: the gate-shift module or self-attention to show, by default the last of each.
        cell: row and column, from 0 on, of the cell whose self-attention is shown; by default that with the
            most evidence.
        crop: number of one of the crops that `predict` averages over, from 0 on; by default the middle one,
            not mirrored.
        evidence: False leaves out Grad-CAM, gate shifts and self-attention, which take most of the time.

    Returns:
        What the model saw, step by step.

    Raises:
        UserError: for a model with nothing to show, an attention that is not on a square of cells, a `layer`,
            `cell` or `crop` that is none, or a `true_label` that is no class.
        VideoError: for a file that cannot be used.

    Reference: Selvaraju et al., "Grad-CAM", arXiv 1610.02391, eq. 1 and 2, frame by frame: with the maps A of
    a frame, `relu(sum_k w_k A_k)`, where `w_k` is the mean over the frame's places of the gradient by `A_k`.
    Where we differ: the gradient is that of the logit less the mean of all classes' logits, which a softmax
    does not tell apart; the largest value of the clip becomes 1.
    """
    view = view_of(recognizer, layer)
    frames, region, seconds, clip, mask = _looked_at(recognizer, path, crop)
    seen: dict[str, Any] = view(recognizer.batch(clip, mask), evidence=evidence)
    relations = _relations(seen.pop("relations", []), int(seen["scores"].argmax()))
    seen = {name: value[0] for name, value in seen.items()}
    maps = seen.get("maps")
    spoke = grad_cam(maps, seen["slopes"]) if maps is not None and evidence else None
    joints, body, origin = _skeleton(recognizer, clip)
    return Explanation(
        path=Path(path),
        frames=frames,
        mask=np.asarray(mask, bool),
        attention=_on_grid(recognizer, seen.get("attention"), maps),
        boundaries=seen.get("boundaries"),
        temperature=seen["temperature"][:, 0] if "temperature" in seen else None,
        steps=seen.get("steps"),
        scores=seen["scores"],
        class_names=tuple(recognizer.class_names),
        true_label=true_label,
        model_name=recognizer.model.name,
        region=region,
        seconds=seconds,
        updates=seen.get("updates"),
        evidence=spoke,
        gates=seen.get("gates"),
        joints=joints if view.gates_of_input or "gates" not in seen else None,
        body=body,
        origin=origin,
        shifts=Shifts(view.shown["shifts"].name, seen["shifts"]) if "shifts" in seen else None,
        self_attention=_attended(view, seen, spoke, cell),
        relations=relations,
        views=recognizer.preprocessor.num_views,
    )


def grad_cam(maps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """`relu(sum_k w_k A_k)` with `w_k` the mean over the places of a step of the gradient by `A_k`.

    Args:
        maps: A, `(T, K, K, D)`.
        slopes: the gradient by the maps, of the same shape.

    Returns:
        `(T, K, K)`, the largest of which is 1; all 0 where nothing spoke for the answer.
    """
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    found = np.maximum((maps * weights).sum(axis=-1), 0)
    return found / (found.max() or 1)


# A view of each model, and of each layer that was chosen, which the backend compiles once.
_VIEWS: WeakKeyDictionary[keras.Model, dict[str | None, zoo.ExplainingView]] = WeakKeyDictionary()


def view_of(recognizer: Recognizer, layer: str | None = None) -> zoo.ExplainingView:
    """The view of a model, see `zoo.ExplainingView`."""
    views = _VIEWS.setdefault(recognizer.model, {})
    if layer not in views:
        views[layer] = zoo.ExplainingView(recognizer.model, recognizer.spec, layer)
    return views[layer]


def _looked_at(recognizer: Recognizer, path: PathLike, crop: int | None) -> tuple[Any, ...]:
    """Frames, region, seconds, and what the model sees of a file: steps and mask."""
    if recognizer.preprocessor.name == "clip":
        found = recognizer.preprocessor.original(path, crop)
        return found.frames, found.region, found.seconds, found.clip, found.mask
    if crop is not None:
        raise UserError(f"`crop` is of videos, and {recognizer.model.name} sees others: leave it out")
    return (None, None, None, *recognizer.read(path))


def _on_grid(
    recognizer: Recognizer, attention: np.ndarray | None, maps: np.ndarray | None
) -> np.ndarray | None:
    if attention is None:
        return None
    cells = attention.shape[-1]
    rows, columns = maps.shape[1:3] if maps is not None else (math.isqrt(cells), math.isqrt(cells))
    if rows * columns != cells:
        raise UserError(f"`{recognizer.model.name}` looks at {cells} locations, which are no square of cells")
    return attention.reshape(-1, rows, columns)


def _skeleton(
    recognizer: Recognizer, sequence: np.ndarray
) -> tuple[np.ndarray | None, Body | None, int | None]:
    """Joints `(T, bodies, joints, 3)` of what a model of skeletons sees, what they are, and the origin."""
    preprocessor = recognizer.preprocessor
    if preprocessor.files != "skeletons" or preprocessor.form is None:
        return None, None, None
    joints = preprocessor.joints_of(sequence)
    return joints, preprocessor.body, origin_of(preprocessor)


def _attended(
    view: zoo.ExplainingView,
    seen: dict[str, Any],
    evidence: np.ndarray | None,
    cell: tuple[int, int] | None,
) -> SelfAttention | None:
    """What one cell attends to, of all that do."""
    if "self_attention" not in seen or evidence is None:
        if cell is not None:
            raise UserError("`cell` is one of a self-attention, which this model does not have: leave it out")
        return None
    layer, scores = view.shown["self_attention"], seen["self_attention"]
    rows, columns = scores.shape[:2] if layer.over == "time" else scores.shape[-2:]
    step, row, column = np.unravel_index(int(evidence.argmax()), evidence.shape)
    if cell is None:
        cell = int(row) * rows // evidence.shape[1], int(column) * columns // evidence.shape[2]
    if not (0 <= cell[0] < rows and 0 <= cell[1] < columns):
        raise UserError(
            f"`cell` must be a row and a column of {rows} x {columns} cells. Received: cell={cell}"
        )
    if layer.over == "frame":
        shares = scores[(slice(None), *cell)]
    elif layer.over == "clip":
        shares = scores[(step, *cell)]
    else:
        shares = np.zeros((scores.shape[-1], rows, columns), scores.dtype)
        shares[(slice(None), *cell)] = scores[(*cell, step)]
    return SelfAttention(layer.name, cell, shares, float(keras.ops.convert_to_numpy(layer.gamma)))


def _relations(found: Iterable[tuple[np.ndarray, np.ndarray]], label: int) -> tuple[Relation, ...]:
    """What each relation says of a class."""
    relations = []
    for subsets, logits in found:
        against = logits[0, :, label] - logits[0].mean(axis=-1)
        relations += [
            Relation(tuple(int(frame) for frame in frames), float(value))
            for frames, value in zip(subsets, against, strict=True)
        ]
    return tuple(relations)


def labeled_files(
    recognizer: Recognizer, sources: Iterable[PathLike], label: str | None = None
) -> list[tuple[Path, str | None]]:
    """Files that sources stand for, each with the class that it shows, where that is known.

    Args:
        recognizer: whose files they are.
        sources: as of `data.expand_sources`.
        label: the class of all of them. Without it, of files that a CSV file lists, the cell in its column
            `label`; of others the name of the folder that they are in, where that is a class.

    Raises:
        UserError: as `data.expand_sources`, for a label that is no class of the model, or for a CSV file that
            lists parts of files.
    """
    files: list[tuple[Path, str | None]] = []
    for source in map(Path, sources):
        patterns = recognizer.preprocessor.patterns
        if lists_files(source, patterns):
            files += [(file, label or shown) for file, shown in _listed(source)]
            continue
        for record in expand_sources(source, patterns):
            folder = record.file.resolve().parent.name
            files.append((record.file, label or (folder if folder in recognizer.class_names else None)))
    for file, shown in files:
        if shown is not None and shown not in recognizer.class_names:
            hint = did_you_mean(shown, recognizer.class_names)
            raise UserError(f"{file}: the model has no class {shown!r}; {hint}")
    return files


def _listed(source: Path) -> list[tuple[Path, str | None]]:
    """The files of a CSV file, and the label of each."""
    table = read_cuts(source, ("path",), ("label",))
    for number, row in enumerate(table.rows()):
        if row["start"] or row["stop"]:
            raise UserError(
                f"{table.where(number)}: whole files are explained, and this is frames {row['start'] or 0} "
                f"to {row['stop'] or 'the end'} of {row['path']}: cut it out into a file of its own"
            )
    return [(source.parent / row["path"], row["label"] or None) for row in table.rows()]
