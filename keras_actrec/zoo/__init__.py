"""Models: one builder a file, from arguments to an uncompiled functional `keras.Model`."""

from keras_actrec.zoo._parts import copy_weights
from keras_actrec.zoo._registry import arguments_of, build, builder, check_arguments, list_models
from keras_actrec.zoo.frame_pool import frame_pool
from keras_actrec.zoo.hman import hman
from keras_actrec.zoo.lstm_attention import lstm_attention
from keras_actrec.zoo.softmax_regression import softmax_regression

__all__ = [
    "arguments_of",
    "build",
    "builder",
    "check_arguments",
    "copy_weights",
    "frame_pool",
    "hman",
    "list_models",
    "lstm_attention",
    "softmax_regression",
]
