"""Why a model answered as it did: what its layers did, pictures, the HTML report, and the demo."""

from keras_actrec.insight.bars import draw_bars, draw_counts
from keras_actrec.insight.deletion import Deletion, delete_joints
from keras_actrec.insight.demo import demo
from keras_actrec.insight.embedding import draw_embedding, embed
from keras_actrec.insight.explain import Explanation, explain
from keras_actrec.insight.figure import draw_explanation
from keras_actrec.insight.gates import draw_gates
from keras_actrec.insight.history import converged, draw_curves, draw_history
from keras_actrec.insight.report import Reported, write_report
from keras_actrec.insight.runs import read_run, report_runs
from keras_actrec.insight.temperature import draw_temperature

__all__ = [
    "Deletion",
    "Explanation",
    "Reported",
    "converged",
    "delete_joints",
    "demo",
    "draw_bars",
    "draw_counts",
    "draw_curves",
    "draw_embedding",
    "draw_explanation",
    "draw_gates",
    "draw_history",
    "draw_temperature",
    "embed",
    "explain",
    "read_run",
    "report_runs",
    "write_report",
]
