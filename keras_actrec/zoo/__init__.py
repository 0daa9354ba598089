"""Models: one builder a file, from arguments to an uncompiled functional `keras.Model`."""

from keras_actrec.zoo._parts import copy_weights
from keras_actrec.zoo._registry import arguments_of, build, builder, check_arguments, list_models
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
from keras_actrec.zoo.stacked_rnn import stacked_rnn
from keras_actrec.zoo.strn import strn
from keras_actrec.zoo.trn import trn
from keras_actrec.zoo.tsm import tsm
from keras_actrec.zoo.tsn import tsn

__all__ = [
    "arguments_of",
    "build",
    "builder",
    "cham",
    "check_arguments",
    "conv_attention",
    "copy_weights",
    "eleatt_rnn",
    "frame_gru",
    "frame_pool",
    "gsm",
    "hman",
    "list_models",
    "lstm_attention",
    "sa_gsm",
    "softmax_regression",
    "stacked_rnn",
    "strn",
    "trn",
    "tsm",
    "tsn",
]
