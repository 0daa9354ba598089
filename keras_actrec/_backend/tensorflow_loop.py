"""The recurrent loop on TensorFlow: `tf.while_loop` over `TensorArray`s."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from keras_actrec._backend.taps import Linear, recorded_by
from keras_actrec._backend.tensorflow_blocks import in_blocks
from keras_actrec.errors import UserError

# The gradient of what is read from an array is added up in one as long, at every step: of many steps that is
# most of the time. In blocks that run again training takes half of it at 960 steps, and as long at 400.
_LONG, _BLOCK = 400, 60


def loop(
    step: Callable[..., tuple[Any, Any]],
    states: Any,
    sequences: Any,
    unroll: bool = False,
    with_taps: bool = False,
    remat: int | None = None,
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states. The first step runs
    before the loop: it tells the loop the structure, types and shapes of the outputs. `with_taps`: see
    `taps`. With `remat`, a block of so many steps keeps its first states alone, and runs again for its
    gradient; None does so with many steps, 0 never.
    """
    if remat is None and with_taps and not unroll and not _by_xla():
        length = tf.nest.flatten(sequences)[0].shape[0]
        remat = _BLOCK if length is not None and length > _LONG else None
    if remat and _by_xla():
        raise UserError(
            "`remat` does not go with XLA on TensorFlow: compile the model with jit_compile=False"
        )
    if remat:
        block = functools.partial(_run, step, unroll=False, with_taps=with_taps)
        return in_blocks(step, block, remat, states, sequences, with_taps)
    return _run(step, states, sequences, unroll, with_taps)


def _run(
    step: Callable[..., tuple[Any, Any]], states: Any, sequences: Any, unroll: bool, with_taps: bool
) -> tuple[Any, Any]:
    flat = tf.nest.flatten(sequences)
    length = tf.shape(flat[0])[0]
    # Read from arrays: the gradient of an index would be as large as the sequence, at every step.
    read = [
        tf.TensorArray(part.dtype, size=length, element_shape=part.shape[1:]).unstack(part) for part in flat
    ]
    taps = _Taps(length) if with_taps else None

    def run(t: Any, states: Any, inputs: list[Any]) -> tuple[Any, Any, list[Any]]:
        if taps:
            taps.begin_step(t, inputs)
        parts = [array.read(t) for array in read]
        outputs, states = step(states, tf.nest.pack_sequence_as(sequences, parts))
        return outputs, states, taps.inputs if taps else []

    with recorded_by(taps):
        outputs, states, inputs = run(0, states, [])
        structure = outputs
        if unroll:
            collected = [tf.nest.flatten(outputs)]
            for t in range(1, flat[0].shape[0]):
                outputs, states, inputs = run(t, states, inputs)
                collected.append(tf.nest.flatten(outputs))
            stacked = [tf.stack(steps) for steps in zip(*collected, strict=True)]
        else:
            arrays = [
                tf.TensorArray(output.dtype, size=length, element_shape=output.shape).write(0, output)
                for output in tf.nest.flatten(outputs)
            ]

            def body(t: Any, states: Any, arrays: list[Any], inputs: list[Any]) -> tuple[Any, ...]:
                outputs, states, inputs = run(t, states, inputs)
                pairs = zip(arrays, tf.nest.flatten(outputs), strict=True)
                return t + 1, states, [array.write(t, output) for array, output in pairs], inputs

            _, states, arrays, inputs = tf.while_loop(
                lambda t, *_: t < length,
                body,
                (tf.constant(1), states, arrays, inputs),
                maximum_iterations=length,
            )
            stacked = [array.stack() for array in arrays]
    if taps:
        taps.close(inputs)
    for output in stacked:
        output.set_shape([flat[0].shape[0], *output.shape[1:]])
    return tf.nest.pack_sequence_as(structure, stacked), states


class LinearInVectors(Linear):
    """A product with a kernel whose columns are filled up to whole vectors."""

    def __init__(self, *kernels: Any, bias: Any = None) -> None:
        super().__init__(*kernels, bias=bias)
        self._whole = _in_vectors(self.kernel)

    def multiply(self, x: Any) -> Any:
        product = tf.matmul(x, self._whole)
        return product if self._whole is self.kernel else product[:, : self.kernel.shape[1]]


class _Taps:
    """A recorder for `length` steps, in each of which the same products follow one another."""

    def __init__(self, length: Any) -> None:
        self._length = length
        # Of each product the taps, the function that multiplies, and where all inputs go.
        self._products: list[tuple[Any, Any, dict[str, Any]]] = []
        self.inputs: list[Any] = []  # arrays of each product's inputs, which go through the loop

    def begin_step(self, t: Any, inputs: list[Any]) -> None:
        self._step, self._next, self.inputs = t, 0, list(inputs)

    def __call__(self, linear: Linear, x: Any) -> Any:
        if self._next == len(self._products):  # in the first step
            self._add(linear, x)
        index, self._next = self._next, self._next + 1
        taps, multiply, _ = self._products[index]
        self.inputs[index] = self.inputs[index].write(self._step, tf.stop_gradient(x))
        return taps.read(self._step) + multiply(x)

    def _add(self, linear: Linear, x: Any) -> None:
        all_inputs: dict[str, Any] = {}
        taps = _one_gradient(linear, all_inputs, (self._length, tf.shape(x)[0]))
        shape = [x.shape[0], linear.kernel.shape[1]]
        array = tf.TensorArray(taps.dtype, size=self._length, element_shape=shape).unstack(taps)
        self._products.append((array, _multiplier(linear), all_inputs))
        self.inputs.append(tf.TensorArray(x.dtype, size=self._length, element_shape=x.shape))

    def close(self, inputs: list[Any]) -> None:
        """Hands the inputs of all steps to where the gradients need them."""
        for (_, _, all_inputs), array in zip(self._products, inputs, strict=True):
            all_inputs["x"] = array.stack()


def _multiplier(linear: Linear) -> Callable[[Any], Any]:
    """A function of `x (B, D)`: its product with the kernel `(D, N)`, whose gradient is that of `x`.

    Where there are few rows, the form of a kernel decides: TensorFlow's own product reads it ten times as
    fast where its columns lie side by side, so it takes one form forward and the other back. That of XLA is
    twice as fast where its rows do, and faster yet where one form stays in the cache.
    """
    columns = linear.kernel.shape[1]
    whole = _in_vectors(tf.stop_gradient(linear.kernel))
    added = whole.shape[1] - columns
    by_xla = _by_xla()
    transposed = tf.transpose(whole)
    forward = transposed if by_xla else whole

    @tf.custom_gradient
    def multiply(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(delta: Any) -> Any:
            filled = tf.pad(delta, [(0, 0), (0, added)]) if added else delta
            return tf.matmul(filled, transposed)

        product = tf.matmul(x, forward, transpose_b=by_xla)
        return product[:, :columns] if added else product, gradient

    return multiply


def _by_xla() -> bool:
    """Whether XLA will compile what is made now."""
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def _in_vectors(kernel: Any) -> Any:
    """A kernel with its columns filled up to whole vectors, which TensorFlow reads faster."""
    columns = kernel.shape[1]
    short = -columns % 16 if columns > 16 else 0
    return tf.pad(kernel, [(0, 0), (0, short)]) if short else kernel


def _one_gradient(linear: Linear, all_inputs: dict[str, Any], lengths: tuple[Any, Any]) -> Any:
    """The taps of a product, `(T, B, N)`; their gradient gives the kernel's."""
    columns = linear.kernel.shape[1]

    @tf.custom_gradient
    def taps(kernel: Any, *bias: Any) -> tuple[Any, Callable[..., Any]]:
        def gradient(deltas: Any) -> Any:
            rows = tf.reshape(deltas, (-1, columns))
            x = tf.reshape(all_inputs["x"], (-1, kernel.shape[0]))
            of_kernel = tf.matmul(x, rows, transpose_a=True)
            return (of_kernel, tf.reduce_sum(rows, 0)) if bias else of_kernel

        tap = bias[0] if bias else tf.zeros((), kernel.dtype)
        return tf.broadcast_to(tap, (*lengths, columns)), gradient

    # A custom gradient takes tensors, and gives those of variables elsewhere.
    weights = [linear.kernel] if linear.bias is None else [linear.kernel, linear.bias]
    return taps(*(tf.convert_to_tensor(weight) for weight in weights))
