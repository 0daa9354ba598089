"""A convolutional LSTM cell that weighs the locations of its input."""

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._types import Shape, Tensor
from keras_actrec.layers import _initializers
from keras_actrec.layers._stepper import Step, Stepped
from keras_actrec.layers.conv_lstm_cell import ConvLSTMCell


@keras.saving.register_keras_serializable("keras_actrec")
class ConvAttentionCell(ConvLSTMCell):
    """Soft attention over the locations of a map, which stays a map, in front of `ConvLSTMCell`.

    At location n of step t, with h the cell's state before:

        a_n = tanh(x_n V + h_n W + b) u
        alpha = softmax(a) over all locations
        x'_n = alpha_n x_n

    x' goes into the LSTM. `SoftAttention` would add the locations up.

    Args:
        filters: as in `ConvLSTMCell`; also the width of V, W and b.
        size: as in `ConvLSTMCell`.
        kernel_size: as in `ConvLSTMCell`.

    Call arguments:
        inputs: one step, as in `ConvLSTMCell`.
        states: `h (B, H * W * F)` and `c` of the same shape.

    Returns:
        h, and the states. `step` also returns alpha `(B, H * W)` as `attention`.

    Raises:
        UserError: as `ConvLSTMCell`.

    Weights: those of `ConvLSTMCell`, `attention_kernel (D, F)` V, `attention_recurrent_kernel (F, F)` W,
    `attention_bias (F)` b, `score_kernel (F, 1)` u.

    Reference: Li et al., arXiv 1607.01794 (VideoLSTM), in the form they released; Yan et al., arXiv
    1705.03146. Where we differ: the released code adds one more scalar to every a_n, which a softmax does
    not see.
    """

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)

        def kernel(name: str, rows: int, columns: int = self.filters) -> keras.Variable:
            return self.add_weight(
                name=name, shape=(rows, columns), initializer=_initializers.glorot_uniform()
            )

        self.attention_kernel = kernel("attention_kernel", self.channels)
        self.attention_recurrent_kernel = kernel("attention_recurrent_kernel", self.filters)
        self.attention_bias = self.add_weight(
            name="attention_bias", shape=(self.filters,), initializer="zeros"
        )
        self.score_kernel = kernel("score_kernel", self.filters, 1)

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What a trace of this cell has, and how wide."""
        return {"attention": self.size[0] * self.size[1]}

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, with the trace `attention (B, H * W)`."""
        of_input, of_state = map(_backend.fixed, (self.attention_kernel, self.attention_recurrent_kernel))
        bias, of_scores = map(_backend.fixed, (self.attention_bias, self.score_kernel))
        of_cell = super().make_step(training)

        def run(inputs: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
            inputs, h = self._map(inputs, self.channels), self._map(states[0], self.filters)
            hidden = ops.matmul(inputs, of_input) + ops.matmul(h, of_state)
            logits = ops.matmul(ops.tanh(hidden + bias), of_scores)  # (B, H, W, 1)
            logits = ops.reshape(logits, (-1, self.trace_sizes["attention"]))
            scores = ops.softmax(ops.cast(logits, "float32"), axis=-1)
            scores = ops.cast(scores, self.compute_dtype)
            attended = inputs * ops.reshape(scores, (-1, *self.size, 1))
            output, states, _ = of_cell.run(attended, states)
            return output, states, {"attention": scores}

        return Step(run)
