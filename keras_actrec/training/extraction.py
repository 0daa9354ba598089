"""What training reads of its videos, computed before it: features of a frozen backbone, or decoded frames."""

from collections.abc import Callable
from typing import Any

from keras_actrec import backbones
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.cluster import Cluster
from keras_actrec.data import CachedVideo, Record, VideoError, files_of, read_audit, read_set
from keras_actrec.data import shard as shard_of
from keras_actrec.errors import UserError
from keras_actrec.training.prepare import caching, spec_of, trains_on_features
from keras_actrec.training.recipe import parse_recipe
from keras_actrec.training.tables import Recipe


def extraction_recipe(
    *,
    backbone: str = "efficientnet_lite0",
    frames: bool = False,
    data: dict[str, Any] | None = None,
    clip: dict[str, Any] | None = None,
) -> Recipe:
    """A recipe to `extract` by, for features or frames that are for no model in particular.

    Args:
        backbone: name of the network whose features are computed, or `"name:layer"`.
        frames: whether the decoded frames are kept instead of features.
        data: values of `[data]`.
        clip: values of `[clip]`.

    Returns:
        The recipe.

    Raises:
        UserError: for an unknown backbone, a set that does not hold videos, or as `parse_recipe`.
    """
    backbones.check_name(backbone)
    dataset = (data or {}).get("dataset")
    files = files_of(dataset)
    if files != "videos":
        raise UserError(f"{dataset} holds {files}, and extract reads videos: train on them as they are")
    model = {"name": "softmax_regression", "backbone": backbone}  # the least that takes any backbone
    values = {"model": model, "data": data or {}, "clip": clip or {}, "train": {"train_backbone": frames}}
    return parse_recipe(values, "extraction")


def extract(
    recipe: Recipe,
    data: PathLike,
    out: PathLike,
    *,
    shard: str = "1/1",
    batch_size: int | None = None,
    workers: int = 2,
    audit: PathLike | None = None,
    verify: bool = False,
    cluster: Cluster | None = None,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> tuple[list[tuple[Record, CachedVideo]], list[VideoError]]:
    """Compute what training as a recipe says reads of its videos, for all parts of the set.

    Args:
        recipe: one of videos: the features of its frozen backbone are computed, or, where it has none,
            decoded frames are kept.
        data: a CSV file or a folder, see `read_set`.
        out: folder to write into, for the `cache` of `train` and `evaluate`.
        shard: which share of the videos, such as `"2/8"`, see `shard`. The list of what was written is
            `index.csv`, of a share `index-2-of-8.csv`.
        batch_size: frames that the backbone sees at a time; by default as many as are fastest.
        workers: number of threads that read videos.
        audit: JSON file of `audit_videos`: videos that it knows are not read through again.
        verify: whether files are hashed again that `out` knows by their size and time of change.
        cluster: reads and computes in place of this machine, to the same bytes as one whose `OMP_NUM_THREADS`
            is 1.
        tell: called with each line of `Manifest.notes`: what a folder of one's own has that is not taken.
        progress: called as `progress(stage, done, total)`: stages `videos`, then `features` or `frames`.

    Returns:
        What was written for each record, and the errors of the videos that were skipped.

    Raises:
        UserError: for a recipe that cannot be trained or is not of videos, data that cannot be read, an
            argument out of range, or too many videos to skip.
        VideoError: with `data.on_error="raise"`, the first bad video.
    """
    report = progress or silent
    table = recipe.data
    found = read_set(
        data, dataset=table.dataset, split=table.split, manifest=table.manifest, options=table.options
    )
    found.announce(tell)
    classes = max(2, len(found.class_names))  # of a test part alone there may be one; features have none
    stage, compute = _computation(recipe, classes, batch_size)
    audited = None if audit is None else read_audit(audit)
    indexed, skipped = recipe.preprocessor.index(
        shard_of(found.records, shard),
        on_error=table.on_error,
        max_skipped=table.max_skipped,
        workers=workers,
        audit=audited,
        cluster=cluster,
        progress=lambda done, total: report("videos", done, total),
    )
    pairs = compute(
        indexed,
        out=out,
        audit=audited,
        workers=workers,
        cluster=cluster,
        verify=verify,
        index="index.csv" if shard == "1/1" else f"index-{shard.replace('/', '-of-')}.csv",
        progress=lambda done, total: report(stage, done, total),
    )
    return pairs, skipped


def _computation(
    recipe: Recipe, num_classes: int, batch_size: int | None
) -> tuple[str, Callable[..., list[tuple[Record, CachedVideo]]]]:
    """The stage's name, and the function that computes."""
    stage = "features" if trains_on_features(recipe, spec_of(recipe)) else "frames"
    return stage, caching(recipe, num_classes, batch_size=batch_size)
