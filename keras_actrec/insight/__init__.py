"""Why a model answered as it did: the trace of a clip, pictures, the HTML report, and the demo."""

from keras_actrec.insight.demo import demo
from keras_actrec.insight.explain import Explanation, explain
from keras_actrec.insight.history import draw_history
from keras_actrec.insight.report import write_report

__all__ = ["Explanation", "demo", "draw_history", "explain", "write_report"]
