"""One HTML page that shows how good models are and why they answered as they did."""

from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_actrec._files import replacing
from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.insight import _clips, _overlay
from keras_actrec.insight._timeline import lines_of

if TYPE_CHECKING:
    import jinja2

    from keras_actrec.evaluation import Evaluation
    from keras_actrec.insight.explain import Explanation

# What a page has a word on where one of its files has it.
_SHOWN = (
    *("attention", "evidence", "shifts", "self_attention", "boundaries", "operations", "temperature"),
    *("gates", "joints", "relations", "steps", "seconds", "frames"),
)


def write_report(
    path: PathLike,
    *,
    title: str,
    evaluations: Iterable["Evaluation"] = (),
    explanations: Iterable["Explanation"] = (),
) -> Path:
    """Writes one HTML page that needs no other file and no network.

    It has a table of the models side by side, of each the confusion matrix, the accuracy of every class and
    how far its probabilities can be trusted (a reliability diagram), and for each explained file its five
    best classes, its frames with what the model looked at on them, or its skeletons, and what happened over
    time: boundaries, temperature, gates, relations and probabilities.
    It fits a phone and follows the reader's choice of light or dark. The file appears when it is complete.

    Args:
        path: the page, such as `report.html`; folders are made if missing.
        title: its heading.
        evaluations: an `Evaluation` for each model. Of its `extra`, `recipe` is shown below the model's name,
            the others are further columns of the table.
        explanations: what `explain` returned, one for each file; they are drawn one by one, so that of an
            iterator not all are in memory.

    Returns:
        The page.

    Raises:
        UserError: there is nothing to report, or matplotlib or jinja2 is missing.
    """
    template, pictures = need_viz()
    evaluations, clips = list(evaluations), [_clip(each) for each in explanations]
    if not evaluations and not clips:
        raise UserError("a report needs `evaluations`, `explanations` or both. Received: none")
    page = template.render(
        title=title,
        themes=pictures.THEMES,
        outline=_overlay.OUTLINE,
        table=_table(evaluations),
        models=[
            {
                "name": each.name,
                "protocol": each.protocol,
                "part": each.part,
                "confusion": pictures.confusion(each),
                "reliability": pictures.reliability(each),
                "classes": _classes(each, pictures.not_drawn(each.class_names)),
            }
            for each in evaluations
        ],
        clips=clips,
        has={name for clip in clips for name in clip["has"]},
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def need_viz() -> "tuple[jinja2.Template, ModuleType]":
    """The template, and the module that draws."""
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError("The report needs the extra `viz`: pip install 'keras_actrec[viz]'") from error
    from keras_actrec.insight import _pictures

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f}%"
    return environment.from_string(
        files(__package__).joinpath("report.html.j2").read_text("utf-8")
    ), _pictures


def _table(evaluations: list["Evaluation"]) -> dict[str, Any] | None:
    """What the headline table shows; None without models."""
    if not evaluations:
        return None
    classes = {len(each.class_names) for each in evaluations}
    precisions = [each.average_precision for each in evaluations]
    extra = [name for each in evaluations for name in each.extra if name != "recipe"]
    return {
        "models": evaluations,
        "floors": sorted(
            {name: top1 for each in evaluations for name, top1 in (each.floors or {}).items()}.items(),
            key=lambda pair: pair[1],
        ),
        "maps": [float(np.nanmean(each)) for each in precisions],
        "classes": classes.pop() if len(classes) == 1 else None,
        "top5": any(len(each.class_names) > 5 for each in evaluations),
        "extra": list(dict.fromkeys(extra)),
        "skipped": list(dict.fromkeys(line for each in evaluations for line in each.skipped)),
    }


def _classes(evaluation: "Evaluation", numbers: list[str]) -> list[dict[str, Any]]:
    """A row for each class: name, clips, how many were right, and what the others were taken for.

    `numbers` stand in the pictures for names that cannot be drawn there.
    """
    rows = []
    precisions = evaluation.average_precision.tolist()
    for name, number, counts, precision in zip(
        evaluation.class_names, numbers, evaluation.confusion, precisions, strict=True
    ):
        counts = {other: int(count) for other, count in zip(evaluation.class_names, counts, strict=True)}
        clips, right = sum(counts.values()), counts.pop(name)
        mistakes = [pair for pair in Counter(counts).most_common(3) if pair[1]]
        rows.append(
            {
                "name": name,
                "number": number,
                "clips": clips,
                "right": right,
                "share": right / clips if clips else None,
                "precision": precision if clips else None,
                "mistakes": mistakes,
            }
        )
    return rows


def _clip(explanation: "Explanation") -> dict[str, Any]:
    """What the page says about a file and shows of it."""
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
        "steps": int(explanation.mask.sum()),
        "padding": int((~explanation.mask).sum()),
        "cells": cells,
        "self_attention": explanation.self_attention,
        "lines": lines_of(explanation),
        "films": _clips.films(explanation),
        "skeletons": _clips.skeletons(explanation),
        "moving": None if explanation.joints is None else _clips.moving(explanation),
        "timeline": _clips.timeline(explanation),
        "has": {name for name in _SHOWN if _there(getattr(explanation, name))},
    }


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, tuple) and not value)
