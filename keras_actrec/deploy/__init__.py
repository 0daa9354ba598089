"""A trained model at work: streams."""

from keras_actrec.deploy.segments import Segment, Segmenter, writing_segments
from keras_actrec.deploy.stream import Answer, Stream
from keras_actrec.deploy.watch import Watched, watch

__all__ = ["Answer", "Segment", "Segmenter", "Stream", "Watched", "watch", "writing_segments"]
