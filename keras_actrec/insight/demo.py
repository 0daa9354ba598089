"""The demo: a temporal model and an order-blind one on clips whose class is their order."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._locks import LOCK, alone_in
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.data import SYNTHETIC_PAIRS, write_synthetic
from keras_actrec.errors import UserError
from keras_actrec.evaluation import Evaluation
from keras_actrec.insight.report import Reported, need_viz, write_report
from keras_actrec.insight.runs import read_run
from keras_actrec.training import read_recipe, train

_MODELS = ("hman", "frame_pool")
_PLAYED = 60  # clips, the mistakes of both first

# All that a demo writes into its folder, next to a run directory for each model.
_VIDEOS, _CACHE, _PAGE = "videos", "cache", "demo.html"


def demo(
    out: PathLike,
    *,
    clips_per_class: int = 120,
    overrides: Iterable[str] = (),
    progress: StageProgress | None = None,
) -> tuple[Path, list[Evaluation]]:
    """Write clips, train HM-AN and the frame average on them, and show what both learned on one page.

    Args:
        out: folder for `videos/`, `cache/`, a run directory for each model, and `demo.html`. An earlier demo
            in it is replaced, also an interrupted one.
        clips_per_class: clips of each of the ten classes, a fifth of them for testing.
        overrides: changes to both recipes, as in `read_recipe`.
        progress: as of `train`, after `writing videos` with the name of the model in front of the stage.

    Returns:
        The page's path and both evaluations, HM-AN's first.

    Raises:
        UserError: for a folder that holds something else, or packages of the extra `viz` that are missing.
    """
    need_viz()  # before minutes of work, not after
    out, progress = Path(out), progress or silent
    with alone_in(out, "making a demo in it"):
        return _demo(out, clips_per_class, overrides, progress)


def _demo(
    out: Path, clips_per_class: int, overrides: Iterable[str], progress: StageProgress
) -> tuple[Path, list[Evaluation]]:
    _remove_earlier(out)
    data = out / _VIDEOS
    write_synthetic(
        data,
        clips_per_class=clips_per_class,
        test_fraction=0.2,
        progress=lambda done, total: progress("writing videos", done, total),
    )
    evaluations, models = list[Evaluation](), list[Reported]()
    for name in _MODELS:

        def named(stage: str, done: float, total: int, text: str = "", name: str = name) -> None:
            progress(f"{name}: {stage}", done, total, text)

        recipe = read_recipe(f"{name}/synthetic", overrides)
        run = train(recipe, data, out / name, cache=out / _CACHE, progress=named)
        model = read_run(run.folder, name, progress=named)
        if model.evaluation is None:
            raise AssertionError("the synthetic set has a test part")
        evaluations.append(replace(model.evaluation, extra=_pair_scores(model.evaluation)))
        models.append(replace(model, evaluation=evaluations[-1]))
    page = out / _PAGE
    write_report(
        page,
        title="Ten classes that differ in the order of their frames only",
        evaluations=models,
        most_clips=_PLAYED,
        progress=progress,
    )
    return page, evaluations


def _remove_earlier(out: Path) -> None:
    """Empty a folder that holds what a demo writes, or the beginning of it, and nothing else.

    The videos are written first and removed last: without them, nothing tells a demo's folder from another.
    """
    if not _names(out):
        return
    videos, kinds = out / _VIDEOS, {name for pair in SYNTHETIC_PAIRS for name in pair}
    is_demo = (
        _names(out) <= {_VIDEOS, _CACHE, *_MODELS, _PAGE}
        and videos.is_dir()
        and _names(videos) <= kinds | {"manifest.csv"}
    )
    if not is_demo:
        raise UserError(f"{out} holds something else than an earlier demo: choose another --out")
    for path in out.iterdir():
        if path.name == LOCK:
            continue
        if path.is_file():
            path.unlink()
        elif path != videos:
            shutil.rmtree(path)
    shutil.rmtree(videos)


def _names(folder: Path) -> set[str]:
    """The names in a folder, without those that a killed process leaves."""
    return {path.name for path in folder.iterdir() if not path.name.startswith((".part-", LOCK))}


def _pair_scores(result: Evaluation) -> dict[str, Any]:
    """How often the pair is found, and how often the right one of the two is named where it is."""
    pair_of = {name: number for number, names in enumerate(SYNTHETIC_PAIRS) for name in names}
    pairs = np.array([pair_of[name] for name in result.class_names])
    found = pairs[result.predicted] == pairs[result.labels]
    right = result.predicted == result.labels
    inside = right[found].mean() if found.any() else 0.0
    return {"right pair": f"{found.mean():.1%}", "right inside the pair": f"{inside:.1%}"}
