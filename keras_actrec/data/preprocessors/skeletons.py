"""How a model looks at a file of joints."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Unpack

import numpy as np

from keras_actrec._types import PathLike, Shape
from keras_actrec.bodies import Body, body, map_joints
from keras_actrec.data._ahead import Part, ReadOptions, read_ahead
from keras_actrec.data._batches import Skeletons
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.datasets import index_skeletons, patterns_of_joints, read_joints
from keras_actrec.data.loader import DatasetOptions, SkeletonDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.persons import Persons
from keras_actrec.data.preprocessors._common import Indexed, check_swap
from keras_actrec.data.skeletons import SkeletonForm, SkeletonSteps, SkeletonTransform
from keras_actrec.data.summaries import summary_of_joints
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    from keras_actrec.data.audit import Audit


@dataclass(frozen=True)
class SkeletonPreprocessor:
    """A skeleton sequence, for models with the input `features (B, T, D)`.

    Attributes:
        dataset: name of the set in whose form files are, see `list_datasets`.
        transform: how joints are moved and sequences get one length.
        form: what all sequences have; `None` where only the data will tell it, see `of`.
        layout: name of the `body` whose joints these are, or `None`.
        persons: which persons are taken, and what becomes of joints that were not seen.
        shown_as: name of the `body` as whose joints the model sees them, see `map_joints`; `None` for their
            own.
        name: of the model's input.
        files: what the files are, see `files_of`.
        cacheable: whether something is computed once of a file; joints are in memory.
        drawn: names of what changes frames at random in training; a sequence has none.
        whole: what to set in a recipe for samples without padding.
        every: frames from one step to the next.
    """

    dataset: str
    transform: SkeletonTransform
    form: SkeletonForm | None = None
    layout: str | None = None
    persons: Persons = Persons()
    shown_as: str | None = None

    name: ClassVar[Literal["features"]] = "features"
    files: ClassVar[Literal["skeletons"]] = "skeletons"
    cacheable: ClassVar[Literal[False]] = False
    drawn: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[str] = "skeleton.length='resample'"
    every: ClassVar[Literal[1]] = 1

    @property
    def num_views(self) -> int:
        """How often a file is looked at."""
        return self.transform.num_views

    @property
    def has_views(self) -> bool:
        """Whether a file is looked at more than once."""
        return self.num_views > 1

    @property
    def body(self) -> Body | None:
        """The joints that are seen and the bones between them; None where they are not known."""
        name = self.shown_as or self.layout
        return None if name is None else body(name)

    def joints_of(self, steps: np.ndarray) -> np.ndarray | None:
        """The joints `(T, bodies, joints, 3)` among what a model sees, `(T, D)`; None where it sees none.

        Those of the stream `"posture"` where there is none of `"joints"`.
        """
        streams = self.transform.streams
        name = next((name for name in ("joints", "posture") if name in streams), None)
        if name is None or self.form is None:
            return None
        place = streams.index(name)
        start = 3 * place + (1 if place and self.persons.scores else 0)  # behind the first stream, the score
        channels = steps.reshape(len(steps), self.form.bodies, self.form.joints, -1)
        return channels[..., start : start + 3]

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the names of files are like that it reads."""
        return patterns_of_joints(self.dataset)

    @property
    def masks(self) -> bool:
        """Whether steps can be padding, so that the model needs a mask."""
        return self.transform.length == "pad"

    @property
    def protocol(self) -> str:
        """What is seen of a sequence, in words."""
        how = {"pad": "in the middle, shorter ones padded", "resample": "from the first frame to the last"}
        views = f", {self.num_views} times, turned and paced as in training" if self.has_views else ""
        return f"{self.transform.frames} steps {how[self.transform.length]}{views}"

    def read(self, path: PathLike) -> tuple[np.ndarray, np.ndarray]:
        """Read a file that holds one sequence: float32 `(T, D)` and mask bool `(T,)`.

        Raises:
            VideoError: for a file that cannot be used.
        """
        return self.sample(self.item(path))

    def sample(self, item: tuple[Record, Any]) -> tuple[np.ndarray, np.ndarray]:
        """What is seen of one that `index` found, or of an `item`: float32 `(T, D)` and mask bool `(T,)`."""
        sequence, mask, _ = Skeletons(self.transform).load(item, None)
        return sequence, mask

    @property
    def steps(self) -> int:
        """T, steps of a sample."""
        return self.transform.frames

    @property
    def causal(self) -> bool:
        """Whether a step follows from the frames up to it."""
        return self.transform.length == "pad" and not self.transform.unit_size

    def following(self, *, carried: bool = True) -> Callable[[np.ndarray], np.ndarray]:
        """A function of the next frames of a stream, `(N, bodies, joints, 3)` with any number of bodies.

        The last axis is 4 with scores. Of a stream all persons are taken as they come, and no gap is bridged.

        It gives what the model sees of them, or, without `causal` or where no states are `carried` from step
        to step, joints for `window`.
        """
        steps = SkeletonSteps(self.transform) if self.causal and carried else np.asarray

        def fitted(joints: np.ndarray) -> np.ndarray:
            joints = np.asarray(joints, "float64")
            axes = 4 if self.persons.scores else 3
            if joints.ndim != 4 or joints.shape[-1] != axes:
                wanted = f"joints (N, bodies, joints, {axes})"
                raise UserError(f"this model takes {wanted}. Received: {joints.shape}")
            if self.shown_as is not None and self.layout is not None:
                joints = map_joints(joints, self.layout, self.shown_as)
            return steps(joints if self.form is None else self.form.fitted(Path("the stream"), joints))

        return fitted

    def window(self, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sample and its mask of a file that had only these frames of joints, which `following` gave."""
        return self.transform(np.stack(steps))

    @property
    def spreads(self) -> bool:
        """Whether the steps are spread over the whole file, however long."""
        return self.transform.length == "resample"

    def pace(self, record: Record) -> tuple[float, int]:
        """Frames a second and number of frames as the file claims them, 0: it does not."""
        return 0.0, 0

    def each_step(self, record: Record, every: int) -> Iterator[tuple[float | None, np.ndarray]]:
        """Every so many frames the joints, which `window` takes, and None for the time.

        Raises:
            VideoError: for a file that cannot be used.
        """
        for frame in self._open(record)[::every]:
            yield None, frame

    def item(self, path: PathLike) -> tuple[Record, Any]:
        """A file that is not read yet, for `views`."""
        return Record(Path(path), str(path), 0), self._open

    def _open(self, record: Record) -> np.ndarray:
        joints = read_joints(self.dataset, record, self.persons, self.layout, self.shown_as)
        return joints if self.form is None else self.form.fitted(record.file, joints)

    def check(self, sequence: np.ndarray) -> None:
        """Refuse what is not one sequence.

        Raises:
            UserError: for that.
        """
        if sequence.ndim != 2:
            raise UserError(f"this model takes sequences (T, D). Received: shape {sequence.shape}")

    def changed(
        self, sampling: Mapping[str, Any], transform: Mapping[str, Any], *, full_resolution: bool = False
    ) -> NoReturn:
        """Refuse what clips have.

        Raises:
            UserError: always.
        """
        raise UserError("it is about clips of videos, and this model sees skeletons; leave it out")

    def check_classes(self, num_classes: int) -> None:
        """Refuse a swap of classes of which the data has fewer.

        Raises:
            UserError: for such a swap.
        """
        check_swap("skeleton", self.transform.swap, num_classes)

    def of(self, indexed: Indexed) -> "SkeletonPreprocessor":
        """The preprocessor for sequences of the form that `index` found."""
        if self.form is not None or not indexed:
            return self
        return replace(self, form=SkeletonForm.of([joints for _, joints in indexed]))

    def index(
        self, records: Iterable[Record], *, audit: "Audit | None" = None, **options: Any
    ) -> tuple[Indexed, list[VideoError]]:
        """The joints of files, all of one form, and the errors of bad ones: see `index_skeletons`.

        It reads every file anyway, so an audit does not shorten it.
        """
        return index_skeletons(
            records,
            self.dataset,
            form=self.form,
            layout=self.layout,
            shown_as=self.shown_as,
            persons=self.persons,
            **options,
        )

    def shape(self, indexed: Indexed) -> Shape:
        """Shape of a sample, `(T, D)`, without the batch: D follows from the joints that `index` found."""
        _, joints = indexed[0]
        sequence, _ = self.transform(joints)
        return sequence.shape

    def batches(self, indexed: Indexed, **options: Unpack[DatasetOptions]) -> SkeletonDataset:
        """A `SkeletonDataset` of what `index` found."""
        return SkeletonDataset(indexed, self.transform, **options)

    def views(self, indexed: Indexed, **options: Unpack[ReadOptions]) -> Iterator[Part | None]:
        """The sequences of what `index` found, or of `item`s: see `read_ahead`."""
        return read_ahead(Skeletons(self.transform), indexed, **options)

    def summary(self, item: tuple[Record, Any]) -> dict[str, np.ndarray]:
        """A sequence that `index` found in a few numbers: see `summary_of_joints`."""
        return summary_of_joints(item[1])

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `preprocessor_of`."""
        form = None if self.form is None else asdict(self.form)
        values = {"transform": asdict(self.transform), "persons": asdict(self.persons)}
        names = {"layout": self.layout, "shown_as": self.shown_as}
        return {"dataset": self.dataset, **values, "form": form, **names}
