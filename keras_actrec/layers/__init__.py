"""Building blocks: tensors in, tensors out. All of them are registered for saving and loading."""

from keras_actrec.layers.attention_cell import AttentionCell
from keras_actrec.layers.attentive_rnn import AttentiveRNN
from keras_actrec.layers.coordinates import Coordinates
from keras_actrec.layers.frame_difference import FrameDifference
from keras_actrec.layers.frame_wise import FrameWise
from keras_actrec.layers.gumbel_hard_attention import GumbelHardAttention
from keras_actrec.layers.hm_rnn import HMRNN
from keras_actrec.layers.hm_rnn_cell import HMRNNCell
from keras_actrec.layers.reinforce_attention import ReinforceAttention
from keras_actrec.layers.soft_attention import SoftAttention

__all__ = [
    "HMRNN",
    "AttentionCell",
    "AttentiveRNN",
    "Coordinates",
    "FrameDifference",
    "FrameWise",
    "GumbelHardAttention",
    "HMRNNCell",
    "ReinforceAttention",
    "SoftAttention",
]
