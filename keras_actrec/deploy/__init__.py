"""A trained model at work: streams, a page to drop clips on, and files for other runtimes, checked there."""

from keras_actrec._formats import FORMATS
from keras_actrec.deploy.export import export
from keras_actrec.deploy.long_videos import Segmented, find_segments
from keras_actrec.deploy.proposals import Proposals, propose, suppress
from keras_actrec.deploy.segments import Segment, Segmenter, writing_segments
from keras_actrec.deploy.stream import Answer, Stream
from keras_actrec.deploy.watch import Watched, watch
from keras_actrec.deploy.web import WebLimits, serve_page, web_page

__all__ = [
    "FORMATS",
    "Answer",
    "Proposals",
    "Segment",
    "Segmented",
    "Segmenter",
    "Stream",
    "Watched",
    "WebLimits",
    "export",
    "find_segments",
    "propose",
    "serve_page",
    "suppress",
    "watch",
    "web_page",
    "writing_segments",
]
