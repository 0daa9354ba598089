"""Models: one builder a file, from arguments to an uncompiled functional `keras.Model`."""

from keras_actrec.zoo._explaining import ExplainingView
from keras_actrec.zoo._registry import ModelSpec, build, check_arguments, list_models, spec
from keras_actrec.zoo._streaming import StreamingView, streaming_view
from keras_actrec.zoo._views import (
    attending_view,
    backbone,
    features_view,
    frames_apart,
    gates_view,
    resized,
    training_view,
)
from keras_actrec.zoo.cham import cham
from keras_actrec.zoo.conv_attention import conv_attention
from keras_actrec.zoo.eleatt_rnn import eleatt_rnn
from keras_actrec.zoo.frame_gru import frame_gru
from keras_actrec.zoo.frame_pool import frame_pool
from keras_actrec.zoo.gsm import gsm
from keras_actrec.zoo.hman import hman
from keras_actrec.zoo.lstm_attention import lstm_attention
from keras_actrec.zoo.sa_gsm import sa_gsm
from keras_actrec.zoo.softmax_regression import softmax_regression
from keras_actrec.zoo.st_gcn import st_gcn
from keras_actrec.zoo.stacked_rnn import stacked_rnn
from keras_actrec.zoo.strn import strn
from keras_actrec.zoo.trn import trn
from keras_actrec.zoo.tsm import tsm
from keras_actrec.zoo.tsn import tsn

__all__ = [
    "ExplainingView",
    "ModelSpec",
    "StreamingView",
    "attending_view",
    "backbone",
    "build",
    "cham",
    "check_arguments",
    "conv_attention",
    "eleatt_rnn",
    "features_view",
    "frame_gru",
    "frame_pool",
    "frames_apart",
    "gates_view",
    "gsm",
    "hman",
    "list_models",
    "lstm_attention",
    "resized",
    "sa_gsm",
    "softmax_regression",
    "spec",
    "st_gcn",
    "stacked_rnn",
    "streaming_view",
    "strn",
    "training_view",
    "trn",
    "tsm",
    "tsn",
]
