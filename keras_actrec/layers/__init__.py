"""Building blocks: tensors in, tensors out. All of them are registered for saving and loading."""

from keras_actrec.layers.at_every_location import AtEveryLocation
from keras_actrec.layers.attention_cell import AttentionCell
from keras_actrec.layers.attentive_rnn import AttentiveRNN
from keras_actrec.layers.conv_attention_cell import ConvAttentionCell
from keras_actrec.layers.conv_lstm_cell import ConvLSTMCell
from keras_actrec.layers.convolutions import AveragePooling2D, BatchNormalization, Conv2D, MaxPooling2D
from keras_actrec.layers.coordinates import Coordinates
from keras_actrec.layers.ele_att_cell import EleAttCell
from keras_actrec.layers.ele_att_cells import EleAttGRUCell, EleAttLSTMCell, EleAttSimpleRNNCell
from keras_actrec.layers.ele_att_rnn import EleAttGRU, EleAttLSTM, EleAttSimpleRNN
from keras_actrec.layers.fold_time import FoldTime
from keras_actrec.layers.frame_difference import FrameDifference
from keras_actrec.layers.frame_relations import FrameRelations
from keras_actrec.layers.frame_wise import FrameWise
from keras_actrec.layers.gate_shift import GateShift
from keras_actrec.layers.graph_convolution import GraphConvolution
from keras_actrec.layers.gumbel_hard_attention import GumbelHardAttention
from keras_actrec.layers.hm_rnn import HMRNN
from keras_actrec.layers.hm_rnn_cell import HMRNNCell
from keras_actrec.layers.initial_states import InitialStates
from keras_actrec.layers.last_step import LastStep
from keras_actrec.layers.motion_grid import MotionGrid
from keras_actrec.layers.pixel_grid import PixelGrid
from keras_actrec.layers.reinforce_attention import ReinforceAttention
from keras_actrec.layers.self_attention_2d import SelfAttention2D
from keras_actrec.layers.slow_rnn import SlowRNN
from keras_actrec.layers.soft_attention import SoftAttention
from keras_actrec.layers.step_attention import StepAttention
from keras_actrec.layers.step_centering import StepCentering
from keras_actrec.layers.step_convolution import StepConvolution
from keras_actrec.layers.step_normalization import StepNormalization
from keras_actrec.layers.temporal_shift import TemporalShift
from keras_actrec.layers.temporal_skip import TemporalSkip
from keras_actrec.layers.unfold_time import UnfoldTime
from keras_actrec.layers.zoneout_cell import ZoneoutCell

__all__ = [
    "HMRNN",
    "AtEveryLocation",
    "AttentionCell",
    "AttentiveRNN",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv2D",
    "ConvAttentionCell",
    "ConvLSTMCell",
    "Coordinates",
    "EleAttCell",
    "EleAttGRU",
    "EleAttGRUCell",
    "EleAttLSTM",
    "EleAttLSTMCell",
    "EleAttSimpleRNN",
    "EleAttSimpleRNNCell",
    "FoldTime",
    "FrameDifference",
    "FrameRelations",
    "FrameWise",
    "GateShift",
    "GraphConvolution",
    "GumbelHardAttention",
    "HMRNNCell",
    "InitialStates",
    "LastStep",
    "MaxPooling2D",
    "MotionGrid",
    "PixelGrid",
    "ReinforceAttention",
    "SelfAttention2D",
    "SlowRNN",
    "SoftAttention",
    "StepAttention",
    "StepCentering",
    "StepConvolution",
    "StepNormalization",
    "TemporalShift",
    "TemporalSkip",
    "UnfoldTime",
    "ZoneoutCell",
]
