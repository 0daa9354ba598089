"""One HTML page: what models reached, how they were made, and the clips they were right and wrong about."""

import base64
import hashlib
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from keras_actrec._files import replacing
from keras_actrec._locks import make_folder
from keras_actrec._signals import Terminated
from keras_actrec._text import printable
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.errors import UserError
from keras_actrec.evaluation.scores import told_apart
from keras_actrec.insight import _clips, _overlay
from keras_actrec.insight._charts import RUNS, curves, plane, reliability
from keras_actrec.insight._facts import made, tested
from keras_actrec.insight._pictures import THEMES
from keras_actrec.insight._timeline import lines_of, times_of

if TYPE_CHECKING:
    import jinja2

    from keras_actrec.evaluation import Evaluation
    from keras_actrec.insight._playing import Clips, Place
    from keras_actrec.insight.explain import Explanation
    from keras_actrec.recognizer import Recognizer

_MEDIA = re.compile(r"[0-9]{5}(_[0-9]{2})?\.(mp4|webp)")  # what a report writes into its folder
_POINTS = 600  # of t-SNE


@dataclass(frozen=True, eq=False)
class Reported:
    """A model on a page, and what is known of it.

    Attributes:
        name: what it is called there.
        evaluation: its scores; None of a run that has none.
        recognizer: the model, which is asked what it saw step by step, and for its features; None where that
            is not to be shown.
        facts: how it was made, texts by what they are about.
        history: columns of the run's `history.csv`.
        kept_epoch: the epoch that was kept, from 0; None where that is not known.
        note: what is missing, and why.
    """

    name: str
    evaluation: "Evaluation | None" = None
    recognizer: "Recognizer | None" = None
    facts: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    kept_epoch: int | None = None
    note: str = ""

    @classmethod
    def of(cls, evaluation: "Evaluation", recognizer: "Recognizer | None" = None) -> "Reported":
        """Scores, and the model, whose file says how it was made."""
        facts = made(recognizer.about) if recognizer is not None else {}
        return cls(evaluation.name, evaluation, recognizer, facts)


# What a page has a word on where one of its files has it.
_SHOWN = (
    *("attention", "evidence", "shifts", "self_attention", "boundaries", "operations", "temperature"),
    *("gates", "joints", "relations", "steps", "frames"),
)


def write_report(
    path: PathLike,
    *,
    title: str,
    evaluations: "Iterable[Evaluation | Reported]" = (),
    explanations: Iterable["Explanation"] = (),
    notes: Sequence[str] = (),
    most_clips: int = 600,
    folder: bool = False,
    progress: StageProgress | None = None,
) -> Path:
    """Write one HTML page that needs no network, and no other file unless `folder` asks for it.

    It has the models side by side, beside what simple classifiers reach; the curves of their training; how
    each was made and tested; of each the confusion matrix, whose cells list their clips, the accuracy of
    every class, how far its probabilities can be trusted, and t-SNE of its features. Then the clips, the
    surest mistakes first: each plays, and where the model can tell, a line moves along what it saw at that
    time. Last, each explained file: its five best classes, its frames with what the model looked at on them,
    or its skeletons, and what happened over time. It fits a phone, can be used by keyboard alone, and follows
    the reader's choice of light or dark. The file appears when it is complete.

    Args:
        path: the page, such as `report.html`; folders are made if missing.
        title: its heading.
        evaluations: an `Evaluation` for each model, or a `Reported` that knows more of it. Of an evaluation's
            `extra`, `recipe` is shown below the model's name, the others are further columns of the table.
        explanations: what `explain` returned, one for each file; they are drawn one by one, so that of an
            iterator not all are in memory. Ctrl-C ends this, and is raised again when the page is there.
        notes: lines above all else; a list may grow while files are explained.
        most_clips: how many clips play, the most interesting ones; all are listed.
        folder: whether the clips lie in a folder beside the page, `report_files` of `report.html`, for more
            than a page can carry.
        progress: called as `progress(stage, done, total, text)`: stages `clips` and `t-SNE`.

    Returns:
        The page.

    Raises:
        UserError: there is nothing to report, matplotlib or jinja2 is missing, or the folder holds something
            else.
        KeyboardInterrupt, Terminated: when it was interrupted; the page has the files that were explained.
    """
    template = need_viz()
    check_place(path)  # before the files are explained, not after
    models = [each if isinstance(each, Reported) else Reported.of(each) for each in evaluations]
    names = told_apart([each.name for each in models])
    models = [replace(each, name=name) for each, name in zip(models, names, strict=True)]
    explained, interruption = _explained(explanations)
    if not models and not explained:
        raise UserError("a report needs `evaluations`, `explanations` or both. Received: none")
    progress = progress or silent
    script = files(__package__).joinpath("report.js").read_text("utf-8")
    with _places(Path(path), folder) as place:
        clips, told = _told(models, most_clips, place, progress, bounded=not folder)
        page = template.render(
            title=title,
            table=_table(models),
            curves=_curves(models),
            columns=[each.name for each in models],
            facts=_facts(models),
            models=[
                _model(each, each.evaluation, progress) for each in models if each.evaluation is not None
            ],
            notes=[
                *notes,
                *(f"{each.name}: {each.note}" for each in models if each.note),
                *(["Interrupted: files are missing."] if interruption is not None else []),
            ],
            shown=clips,
            told=told,
            script=script,
            script_hash=_hash(script),
            folder=folder,
            clips=explained,
            has={name for clip in explained for name in clip["has"]},
        )
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    if interruption is not None:
        raise interruption
    return Path(path)


def _explained(
    explanations: "Iterable[Explanation]",
) -> tuple[list[dict[str, Any]], KeyboardInterrupt | Terminated | None]:
    """What the page says of each file, up to an interruption where there is one to say it of."""
    found: list[dict[str, Any]] = []
    try:
        for each in explanations:
            found.append(told_of(each))
    except (KeyboardInterrupt, Terminated) as interruption:
        if not found:
            raise
        return found, interruption
    return found, None


def check_place(page: PathLike) -> None:
    """Refuse a folder as the name of a page."""
    if Path(page).is_dir():
        raise UserError(f"{page} is a folder: name a file, such as {Path(page) / 'report.html'}")


@contextmanager
def _places(page: Path, folder: bool) -> "Iterator[Place]":
    """Yield where small clips are put: in the page, or in a folder beside it, where no earlier ones stay."""
    from keras_actrec.insight._playing import data_uri

    if not folder:
        yield data_uri
        return
    beside = page.with_name(f"{page.stem}_files")
    make_folder(beside)
    if not all(_MEDIA.fullmatch(path.name) for path in beside.iterdir()):
        raise UserError(f"{beside} holds something else than the clips of a report: choose another --out")
    part = page.with_name(f".part-{uuid.uuid4().hex[:8]}-{beside.name}")
    part.mkdir()

    def place(content: bytes, name: str, kind: str) -> str:
        (part / name).write_bytes(content)
        return f"{quote(os.fsencode(beside.name))}/{name}"

    try:
        yield place
        shutil.rmtree(beside)
        part.rename(beside)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _hash(script: str) -> str:
    """What the page's policy allows: this script, and none that came in a name."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _told(
    models: Sequence[Reported], most: int, place: "Place", progress: StageProgress, *, bounded: bool
) -> "tuple[Clips | None, str]":
    """The clips of models that were scored, and what the script is told of them: JSON that HTML may hold."""
    from keras_actrec.insight._playing import Clips

    scored = [(each.name, each.evaluation, each.recognizer) for each in models if each.evaluation is not None]
    if not scored:
        return None, ""
    clips = Clips(scored, most)
    told = json.dumps(clips.told(place, progress, bounded=bounded), separators=(",", ":"))
    return clips, told.replace("<", "\\u003c")


def _curves(models: Sequence[Reported]) -> list[Any]:
    return curves({each.name: (each.history, each.kept_epoch) for each in models})


def _facts(models: Sequence[Reported]) -> list[tuple[str, list[str]]]:
    """Rows of a name and a text for each model, without rows that are empty for all."""
    columns = [
        {**each.facts, **(tested(each.evaluation) if each.evaluation is not None else {})} for each in models
    ]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, [column.get(name, "") for column in columns]) for name in names]
    return [row for row in rows if any(row[1])]


def _model(model: Reported, evaluation: "Evaluation", progress: StageProgress) -> dict[str, Any]:
    """What the page shows of a model that was scored."""
    points, without = _plane(model, evaluation, progress)
    return {
        "name": model.name,
        "protocol": evaluation.protocol,
        "part": evaluation.part,
        "ece": evaluation.ece,
        "names": evaluation.class_names,
        "cells": _cells(evaluation),
        "reliability": reliability(evaluation),
        "classes": _classes(evaluation),
        "plane": points,
        "without_plane": without,
    }


def _cells(evaluation: "Evaluation") -> list[dict[str, Any]]:
    """The cells of the confusion matrix that are not empty, with their share of the row in percent."""
    counts = evaluation.confusion
    clips = counts.sum(axis=1)
    return [
        {
            "row": row,
            "column": column,
            "count": int(counts[row, column]),
            "share": round(100 * float(counts[row, column] / clips[row])),
        }
        for row, column in np.argwhere(counts).tolist()
    ]


def _plane(model: Reported, evaluation: "Evaluation", progress: StageProgress) -> tuple[Any, str]:
    """The features of at most so many clips, from all over the part, on a plane, or why there are none."""
    from keras_actrec.insight.embedding import embed

    if model.recognizer is None:
        return None, ""
    count = min(evaluation.videos, _POINTS)
    chosen = np.unique(np.linspace(0, evaluation.videos - 1, count).astype(int)).tolist()
    records = [evaluation.records[clip] for clip in chosen]
    items = [(record, model.recognizer.preprocessor.item(record.file)[1]) for record in records]
    try:
        points = embed(
            model.recognizer, items, progress=lambda done, total: progress("t-SNE", done, total, model.name)
        )
        return plane(evaluation, chosen, points), ""
    except UserError as error:
        return None, f"{model.name}: {error}"


def need_viz(page: str = "insight/report.html.j2") -> "jinja2.Template":
    """A template of the package, which has the colors of all pages; what draws on it is there."""
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError("The report needs the extra `viz`: pip install 'keras_actrec[viz]'") from error
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("keras_actrec").joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f}%"
    environment.globals |= {"themes": THEMES, "run_colors": RUNS, "outline": _overlay.OUTLINE}
    return environment.get_template(page)


def _table(models: Sequence[Reported]) -> dict[str, Any] | None:
    """What the headline table shows; None without scores."""
    scored = [(each.name, each.evaluation) for each in models if each.evaluation is not None]
    evaluations = [evaluation for _, evaluation in scored]
    if not evaluations:
        return None
    classes = {len(each.class_names) for each in evaluations}
    alike = len({(each.manifest, each.part) for each in evaluations}) == 1
    precisions = [each.average_precision for each in evaluations]
    extra = [name for each in evaluations for name in each.extra if name != "recipe"]
    return {
        "models": scored,
        "alike": alike,
        "floors": _floors(scored, alike),
        "maps": [float(np.nanmean(each)) for each in precisions],
        "classes": classes.pop() if len(classes) == 1 else None,
        "top5": any(len(each.class_names) > 5 for each in evaluations),
        "extra": list(dict.fromkeys(extra)),
        "skipped": list(dict.fromkeys(line for each in evaluations for line in each.skipped)),
    }


def _floors(scored: "Sequence[tuple[str, Evaluation]]", alike: bool) -> list[tuple[str, float]]:
    """The floors, the highest last; where models were tested on other clips, each with the model's name."""
    whose: dict[tuple[str, float], list[str]] = {}
    for model, evaluation in scored:
        for floor in (evaluation.floors or {}).items():
            whose.setdefault(floor, []).append(model)
    several = Counter(name for name, _ in whose)
    return sorted(
        (
            (f"{name} ({', '.join(models)})" if several[name] > 1 or not alike else name, top1)
            for (name, top1), models in whose.items()
        ),
        key=lambda pair: pair[1],
    )


def _classes(evaluation: "Evaluation") -> list[dict[str, Any]]:
    """A row for each class: name, clips, how many were right, and what the others were taken for."""
    rows = []
    precisions = evaluation.average_precision.tolist()
    for name, counts, precision in zip(evaluation.class_names, evaluation.confusion, precisions, strict=True):
        counts = {other: int(count) for other, count in zip(evaluation.class_names, counts, strict=True)}
        clips, right = sum(counts.values()), counts.pop(name)
        mistakes = [pair for pair in Counter(counts).most_common(3) if pair[1]]
        rows.append(
            {
                "name": name,
                "clips": clips,
                "right": right,
                "share": right / clips if clips else None,
                "precision": precision if clips else None,
                "mistakes": mistakes,
            }
        )
    return rows


def told_of(explanation: "Explanation") -> dict[str, Any]:
    """What a page says about a file and shows of it."""
    true, label = explanation.true_label, explanation.label
    names = list(explanation.class_names)
    cells = None
    if explanation.attention is not None:
        most = explanation.attention[explanation.mask].max(axis=(1, 2))
        cells = float(most.min()), float(most.max())
    return {
        "file": "/".join(Path(explanation.path).parts[-2:]),
        "model": explanation.model_name,
        "true": true,
        "label": label,
        "score": explanation.score,
        "true_score": None if true is None else float(explanation.scores[names.index(true)]),
        "right": true == label,
        "views": explanation.views,
        "steps": int(explanation.mask.sum()),
        "padding": int((~explanation.mask).sum()),
        "cells": cells,
        "self_attention": explanation.self_attention,
        "lines": lines_of(explanation),
        "films": _clips.films(explanation),
        "skeletons": _clips.skeletons(explanation),
        "moving": None if explanation.joints is None else _clips.moving(explanation),
        "timeline": _clips.timeline(explanation),
        "has": {name for name in _SHOWN if _there(getattr(explanation, name))} | {times_of(explanation)[1]},
    }


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, tuple) and not value)
