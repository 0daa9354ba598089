"""The hierarchical multi-scale recurrent cell."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_actrec import _backend
from keras_actrec._numbers import whole
from keras_actrec._text import shown
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers
from keras_actrec.layers._cells import SteppingCell
from keras_actrec.layers._noise import add_temperature, logistic, straight_through
from keras_actrec.layers._stepper import Step, Stepped


@keras.saving.register_keras_serializable("keras_actrec")
class HMRNNCell(SteppingCell):
    """Stacked LSTM layers that detect boundaries and run at their own time scale (HM-AN, eq. 1-11).

    Layer l = 1..L sees the layer below, itself and the layer above:

        s = (z_t^{l-1} * h_t^{l-1}) kernel_l + h_{t-1}^l recurrent_kernel_l
            + (z_{t-1}^l * h_{t-1}^{l+1}) top_down_kernel_l + bias_l
        i, f, o = sigmoid(s_i, s_f, s_o),  g = tanh(s_g)
        FLUSH   z_{t-1}^l = 1:                     c = i * g
        UPDATE  z_{t-1}^l = 0 and z_t^{l-1} = 1:   c = f * c_{t-1} + i * g
        COPY    both 0:                            c = c_{t-1}, h = h_{t-1}
        h = o * output_activation(c), except in COPY
        z_t^l = [s_z + u >= 0],  u ~ Logistic(0, 1) in training, 0 at test

    with `z^0 = 1` and `h^0 = x`. z has the gradient of the Gumbel-sigmoid `sigmoid((s_z + u) / temperature)`
    (straight-through), which reaches it through every gate above.

    Args:
        units: width of a layer, or a list of one per layer.
        num_layers: L.
        boundary: `"scalar"`, one detector a layer (Chung et al.), or `"units"`, one for each unit (table 1
            of HM-AN), which needs layers of equal width.
        temperature: of the Gumbel-sigmoid. Kept in the non-trainable weight `temperature`, so it can be
            changed between epochs without compiling again. It shapes the gradient only.
        output_activation: `"tanh"`, or `"linear"` for eq. 3 as printed.
        top_boundary: whether the top layer detects boundaries too and can flush itself. Chung et al. set
            z^L = 0; published code lets it flush.
        boundary_bias: of the detectors at the start. At 0 half of them fire, so that the first layer forgets
            at every second step what it has seen; at -2, with the noise, one in eight does, and without it
            hardly any.
        forget_bias: of the gate f at the start; 1 is what Keras' LSTM has.
        boundary_noise: whether u is drawn in training. Without it the detectors do in training what they do
            at test.

    Call arguments:
        inputs: `(B, D)`.
        states: `h (B, sum(units))`, `c` of the same shape, `z (B, number of detectors)`.

    Returns:
        `[h^1, ..., h^L]` as one vector `(B, sum(units))`, which is the new first state, and the states.
        `step` also returns `boundaries (B, L)` and `updates (B, L)`: with `"units"` the share of the
        detectors that fired, and of the units that did UPDATE. The boundaries of the step before are the
        share that did FLUSH, and all others did COPY.

    Raises:
        UserError: for widths or a temperature that are not positive, or unequal widths with `"units"`.

    Weights, per layer l: `kernel_l (D or units, 4u+z)`, `recurrent_kernel_l (u, 4u+z)`,
    `top_down_kernel_l (units above, 4u+z)` except at the top, `bias_l (4u+z)`, columns in the order
    i, f, o, g, z; the top layer has no z columns with `top_boundary=False`.

    References: Yan et al., arXiv 1708.07590; Chung et al., arXiv 1609.01704. Where we differ: eq. 3 has no
    tanh, Chung and all published codes do; eq. 4 squashes s_z before it is used as a logit, here it is the
    logit; eq. 7 has h of the layer above where the one below is meant; eq. 10 as printed takes the logarithm
    of negative numbers.
    """

    def __init__(
        self,
        units: int | list[int],
        num_layers: int = 3,
        boundary: str = "scalar",
        temperature: float = 0.3,
        output_activation: str = "tanh",
        top_boundary: bool = True,
        boundary_bias: float = 0.0,
        forget_bias: float = 0.0,
        boundary_noise: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        num_layers = whole("num_layers", num_layers)
        given = units if isinstance(units, (list, tuple)) else [units] * num_layers
        if len(given) != num_layers:
            raise UserError(f"`units` must be one number, or {num_layers}. Received: units={shown(units)}")
        widths = [whole("units", width) for width in given]
        if boundary not in ("scalar", "units"):
            raise UserError(f'`boundary` must be "scalar" or "units". Received: boundary={boundary!r}')
        if boundary == "units" and len(set(widths)) > 1:
            raise UserError(f'`boundary="units"` needs layers of equal width. Received: units={units}')
        if not temperature > 0:
            raise UserError(f"`temperature` must be positive. Received: temperature={temperature}")
        self.units = widths if isinstance(units, (list, tuple)) else widths[0]
        self.num_layers = num_layers
        self.boundary = boundary
        self.temperature = temperature
        self.output_activation = keras.activations.get(output_activation)
        self.top_boundary = top_boundary
        self.boundary_bias = boundary_bias
        self.forget_bias = forget_bias
        self.boundary_noise = boundary_noise
        self._widths = widths
        self._detectors = [width if boundary == "units" else 1 for width in widths]
        if not top_boundary:
            self._detectors[-1] = 0

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 2:
            raise UserError(f"HMRNNCell takes (B, D) a step. Received: shape {tuple(input_shape)}")
        below = [input_shape[-1], *self._widths[:-1]]
        self._kernels = []
        for index, (width, detectors) in enumerate(zip(self._widths, self._detectors, strict=True)):
            number, columns = index + 1, 4 * width + detectors

            def kernel(
                name: str,
                rows: int,
                initializer: keras.initializers.Initializer,
                number: int = number,
                columns: int = columns,
            ) -> keras.Variable:
                return self.add_weight(
                    name=f"{name}_{number}", shape=(rows, columns), initializer=initializer
                )

            bottom_up = kernel("kernel", below[index], _initializers.glorot_uniform())
            others = [kernel("recurrent_kernel", width, _initializers.Orthogonal())]
            if number < self.num_layers:
                above = self._widths[index + 1]
                others.append(kernel("top_down_kernel", above, _initializers.glorot_uniform()))
            first = np.zeros(columns, "float32")
            first[width : 2 * width] = self.forget_bias
            first[4 * width :] = self.boundary_bias
            bias = self.add_weight(
                name=f"bias_{number}", shape=(columns,), initializer=keras.initializers.Constant(first)
            )
            self._kernels.append((bottom_up, others, bias))
        self.temperature_value = add_temperature(self, self.temperature)

    @property
    def state_size(self) -> list[int]:
        """Widths of h, c and z."""
        return [sum(self._widths), sum(self._widths), sum(self._detectors)]

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return sum(self._widths)

    @property
    def query_size(self) -> int:
        """Width of the query that an attention in front of this cell sees: the first layer's."""
        return self._widths[0]

    def query(self, states: list[Tensor]) -> Tensor:
        """The first layer's h, `(B, query_size)`."""
        return states[0][:, : self.query_size]

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        """Zeros: nothing seen, no boundary."""
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What a trace of this cell has, and how wide."""
        return {"boundaries": self.num_layers, "updates": self.num_layers}

    @property
    def noise_size(self) -> int:
        """Columns of noise that `step` takes: one for each detector, or none."""
        return sum(self._detectors) if self.boundary_noise else 0

    def draw_noise(self, shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
        """Logistic samples of shape `(*shape, noise_size)`."""
        return logistic((*shape, self.noise_size), seed)

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, made once before the loop."""
        # Of each layer one product of all that it sees, but for the inputs, which need not wait for the loop.
        (kernel, others, bias), *above = self._kernels
        of_input = _backend.Linear(kernel, bias=bias)
        products = [_backend.Linear(*others)]
        products += [_backend.Linear(kernel, *others, bias=bias) for kernel, others, bias in above]
        temperature = ops.convert_to_tensor(self.temperature_value)

        def run(from_input: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
            h, c, z = (
                _backend.split(packed, sizes)
                for packed, sizes in zip(states, (self._widths, self._widths, self._detectors), strict=True)
            )
            noises = [None] * self.num_layers if noise is None else _backend.split(noise, self._detectors)
            below: list[Tensor] = []
            z_below = None
            new_h, new_c, new_z, updated = [], [], [], []
            for index, product in enumerate(products):
                z_before = z[index] if self._detectors[index] else None
                seen = [*below, h[index]]
                if index + 1 < self.num_layers:
                    seen.append(z_before * h[index + 1])
                total = product(*seen)
                if index == 0:
                    total = from_input + total
                hidden, cell, updates, logits = self._layer(
                    index, total, h[index], c[index], z_before, z_below
                )
                new_h.append(hidden)
                new_c.append(cell)
                updated.append(updates)
                if z_before is not None:
                    z_below = self._detect(logits, noises[index], temperature)
                    new_z.append(z_below)
                    below = [z_below * hidden]
            boundaries = _shares(new_z)
            if not self.top_boundary:
                boundaries.append(ops.zeros_like(from_input[:, :1]))
            output = ops.concatenate(new_h, axis=-1)
            detected = ops.concatenate(new_z, axis=-1) if new_z else states[2]
            states = [output, ops.concatenate(new_c, axis=-1), detected]
            trace = {
                "boundaries": ops.concatenate(boundaries, axis=-1),
                "updates": ops.concatenate(_shares(updated), axis=-1),
            }
            return output, states, trace

        return Step(run, of_input)

    def _layer(
        self, index: int, total: Tensor, h: Tensor, c: Tensor, z_before: Tensor | None, z_below: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From the sum s of a layer to its new h and c, where it did UPDATE, and s_z.

        `z_before` is None in a layer without detectors, and `z_below` in the first one, where it is 1.
        """
        width = self._widths[index]
        gates, candidate, logits = _backend.split(total, [3 * width, width, self._detectors[index]])
        i, f, o = _backend.split(ops.sigmoid(gates), [width] * 3)
        fresh = i * ops.tanh(candidate)

        # FLUSH goes first; then UPDATE where the layer below ended, COPY elsewhere.
        not_flushed: Any = 1 if z_before is None else 1 - z_before
        if z_below is None:
            updates = ops.ones_like(candidate) if z_before is None else not_flushed
            cell = fresh + not_flushed * f * c
            hidden = o * self.output_activation(cell)
        else:
            updates = not_flushed * z_below
            copies = not_flushed - updates
            runs = updates if z_before is None else z_before + updates
            cell = runs * fresh + (updates * f + copies) * c
            hidden = runs * (o * self.output_activation(cell)) + copies * h
        return hidden, cell, updates, logits

    def _detect(self, logits: Tensor, noise: Tensor | None, temperature: Tensor) -> Tensor:
        """The boundaries z."""
        logits = ops.cast(logits, "float32")
        if noise is not None:
            logits = logits + ops.cast(noise, "float32")
        soft = ops.sigmoid(logits / temperature)
        hard = ops.cast(logits >= 0, "float32")
        return ops.cast(straight_through(hard, soft), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_layers": self.num_layers,
            "boundary": self.boundary,
            "temperature": self.temperature,
            "output_activation": keras.activations.serialize(self.output_activation),
            "top_boundary": self.top_boundary,
            "boundary_bias": self.boundary_bias,
            "forget_bias": self.forget_bias,
            "boundary_noise": self.boundary_noise,
        }


def _shares(parts: list[Tensor]) -> list[Tensor]:
    """The mean over the detectors or units of each layer, `(B, 1)`."""
    return [ops.mean(part, axis=-1, keepdims=True) for part in parts]
