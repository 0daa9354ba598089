"""The demo: a temporal model and an order-blind one on clips whose class is their order."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_actrec.data import SYNTHETIC_PAIRS, write_synthetic
from keras_actrec.evaluation import evaluate
from keras_actrec.insight.explain import explain
from keras_actrec.insight.report import need_viz, write_report
from keras_actrec.training import read_recipe, train

_MODELS = ("hman", "frame_pool")
_EXPLAINED = 6


def demo(out, *, clips_per_class=120, overrides=(), progress=None):
    """Write clips, train HM-AN and the frame average on them, and show what both learned on one page.

    Args:
        out: folder for `videos/`, `features/`, a run directory for each model, and `demo.html`.
        clips_per_class: clips of each of the ten classes, a fifth of them for testing.
        overrides: changes to both recipes, as in `read_recipe`.
        progress: as in `train`.

    Returns:
        The page's path and the two `Evaluation`s, HM-AN's first.
    """
    need_viz()  # before minutes of work, not after
    out, progress = Path(out), progress or (lambda stage, done, total, text="": None)
    data = out / "videos"
    write_synthetic(
        data,
        clips_per_class=clips_per_class,
        test_fraction=0.2,
        progress=lambda done, total: progress("writing videos", done, total),
    )
    evaluations, recognizers = [], []
    for name in _MODELS:

        def named(stage, done, total, text="", name=name):
            progress(f"{name}: {stage}", done, total, text)

        recipe = read_recipe(f"{name}/synthetic", overrides)
        run = train(recipe, data, out / name, cache=out / "cache", progress=named)
        result = evaluate(run.recognizer, data, progress=named)
        evaluations.append(replace(result, extra=_pair_scores(result)))
        recognizers.append(run.recognizer)

    # The first test clip of each of six classes.
    shown = [record for record in evaluations[0].records if record.label < _EXPLAINED]
    shown = list({record.label: record for record in reversed(shown)}.values())
    explanations = [
        explain(recognizers[0], record.file, true_label=recognizers[0].class_names[record.label])
        for record in sorted(shown, key=lambda r: r.label)
    ]
    page = out / "demo.html"
    write_report(
        page,
        title="Ten classes that differ in the order of their frames only",
        evaluations=evaluations,
        explanations=explanations,
    )
    return page, evaluations


def _pair_scores(result):
    """How often the pair is found, and how often the right one of the two is named where it is."""
    pair_of = {name: number for number, names in enumerate(SYNTHETIC_PAIRS) for name in names}
    pairs = np.array([pair_of[name] for name in result.class_names])
    found = pairs[result.predicted] == pairs[result.labels]
    right = result.predicted == result.labels
    inside = right[found].mean() if found.any() else 0.0
    return {"right pair": f"{found.mean():.1%}", "right inside the pair": f"{inside:.1%}"}
