"""A trained model at work: streams, and files for other runtimes that are checked in these."""

from keras_actrec._formats import FORMATS
from keras_actrec.deploy.export import export
from keras_actrec.deploy.long_videos import Segmented, find_segments
from keras_actrec.deploy.proposals import Proposals, propose, suppress
from keras_actrec.deploy.segments import Segment, Segmenter, writing_segments
from keras_actrec.deploy.stream import Answer, Stream
from keras_actrec.deploy.watch import Watched, watch

__all__ = [
    "FORMATS",
    "Answer",
    "Proposals",
    "Segment",
    "Segmented",
    "Segmenter",
    "Stream",
    "Watched",
    "export",
    "find_segments",
    "propose",
    "suppress",
    "watch",
    "writing_segments",
]
