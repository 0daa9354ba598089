"""A recurrent loop on TensorFlow in blocks, each of which runs again for its gradient.

`tf.recompute_grad` does not do: what a function takes from around it, such as joined kernels, would get no
gradient.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_actrec._backend.taps import Linear, recorded_by


def in_blocks(
    step: Callable[..., tuple[Any, Any]],
    run: Callable[[Any, Any], tuple[Any, Any]],
    size: int,
    states: Any,
    sequences: Any,
    with_taps: bool,
) -> tuple[Any, Any]:
    """`run(states, sequences)`, the loop of `step`, a block of `size` steps at a time.

    XLA does not take it: where a block begins is known when it runs.
    """
    firsts, parts = tf.nest.flatten(states), tf.nest.flatten(sequences)

    def block(firsts: list[Any], cuts: list[Any]) -> tuple[list[Any], list[Any]]:
        outputs, lasts = run(
            tf.nest.pack_sequence_as(states, firsts), tf.nest.pack_sequence_as(sequences, cuts)
        )
        return tf.nest.flatten(outputs), tf.nest.flatten(lasts)

    def one(firsts: list[Any], inputs: list[Any]) -> Any:
        # Without the custom gradients of taps, which would stay in TensorFlow's registry with this graph.
        with recorded_by(_multiply if with_taps else None):
            outputs, _ = step(
                tf.nest.pack_sequence_as(states, firsts), tf.nest.pack_sequence_as(sequences, inputs)
            )
        return outputs

    traced = tf.function(one, autograph=False).get_concrete_function(
        [tf.TensorSpec(first.shape, first.dtype) for first in firsts],
        [tf.TensorSpec(part.shape[1:], part.dtype) for part in parts],
    )
    # What a step takes from around it, such as kernels, becomes an argument: a custom gradient is by these.
    around = [tensor for tensor in traced.captured_inputs if tensor.dtype.is_floating]
    structure = traced.structured_outputs
    outputs, lasts = _Blocks(block, size, tf.nest.flatten(structure)).run(firsts, parts, around)
    for output in outputs:
        output.set_shape([parts[0].shape[0], *output.shape[1:]])
    return tf.nest.pack_sequence_as(structure, outputs), tf.nest.pack_sequence_as(states, lasts)


def _multiply(linear: Linear, x: Any) -> Any:
    product = tf.matmul(x, linear.kernel)
    return product if linear.bias is None else product + linear.bias


class _Blocks:
    """Runs `block(first states, cuts) -> (outputs, last states)`, lists of tensors, one after another.

    Args:
        block: the function.
        size: steps of a block; the last one is shorter where they do not come out even.
        like: outputs of a step, for their types and shapes.
    """

    def __init__(self, block: Callable[..., tuple[list[Any], list[Any]]], size: int, like: list[Any]) -> None:
        self._block, self._size, self._like = block, size, like

    def run(self, firsts: list[Any], parts: list[Any], around: list[Any]) -> tuple[list[Any], list[Any]]:
        """Outputs of all steps and last states, for the first states and the parts `(T, ...)`.

        `around` are the tensors that the block takes from elsewhere.
        """

        @tf.custom_gradient
        def all_blocks(*tensors: Any) -> tuple[Any, Callable[..., Any]]:
            outputs, lasts, kept = self._forward(firsts, parts)

            def gradient(*deltas: Any, variables: Any = None) -> Any:
                weights = list(variables or [])
                sources = [*around, *weights]
                of_firsts, of_parts, of_sources = self._back(
                    kept, parts, sources, list(deltas[: len(outputs)]), list(deltas[len(outputs) :])
                )
                found = [*of_firsts, *of_parts, *of_sources[: len(around)]]
                return (found, of_sources[len(around) :]) if variables else found

            return (*outputs, *lasts), gradient

        results = list(all_blocks(*firsts, *parts, *around))
        return results[: len(self._like)], results[len(self._like) :]

    def _forward(self, firsts: list[Any], parts: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Outputs, last states, and the first states of each block."""
        count = self._count(parts)

        def body(k: Any, firsts: list[Any], kept: list[Any], arrays: list[Any]) -> tuple[Any, ...]:
            kept = [array.write(k, first) for array, first in zip(kept, firsts, strict=True)]
            outputs, lasts = self._block(firsts, self._cut(parts, k))
            arrays = [array.write(k, output) for array, output in zip(arrays, outputs, strict=True)]
            return k + 1, lasts, kept, arrays

        kept = [tf.TensorArray(first.dtype, size=count, element_shape=first.shape) for first in firsts]
        begin = (tf.constant(0), firsts, kept, _arrays(self._like, count, 0))
        _, lasts, kept, arrays = tf.while_loop(lambda k, *_: k < count, body, begin)
        return [array.concat() for array in arrays], lasts, kept

    def _back(
        self,
        kept: list[Any],
        parts: list[Any],
        sources: list[Any],
        of_outputs: list[Any],
        of_lasts: list[Any],
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Gradients by the first states, the parts (None where they are no numbers) and the sources."""
        count = self._count(parts)
        learned = [part for part in parts if part.dtype.is_floating]

        def body(k: Any, deltas: list[Any], arrays: list[Any], sums: list[Any]) -> tuple[Any, ...]:
            firsts, cuts = [array.read(k) for array in kept], self._cut(parts, k)
            asked = [firsts, [cut for cut in cuts if cut.dtype.is_floating], sources]
            with tf.GradientTape() as tape:
                tape.watch(asked)
                outputs, lasts = self._block(firsts, cuts)
            deltas, of_cuts, found = tape.gradient(
                [*outputs, *lasts],
                asked,
                [*self._cut(of_outputs, k), *deltas],
                tf.UnconnectedGradients.ZERO,
            )
            arrays = [array.write(k, of_cut) for array, of_cut in zip(arrays, of_cuts, strict=True)]
            return k - 1, deltas, arrays, [total + each for total, each in zip(sums, found, strict=True)]

        zeros = [tf.zeros_like(source) for source in sources]
        begin = (count - 1, of_lasts, _arrays(learned, count, 1), zeros)
        _, of_firsts, arrays, sums = tf.while_loop(lambda k, *_: k >= 0, body, begin)
        of_learned = iter([array.concat() for array in arrays])
        return of_firsts, [next(of_learned) if part.dtype.is_floating else None for part in parts], sums

    def _count(self, parts: list[Any]) -> Any:
        return (tf.shape(parts[0])[0] + self._size - 1) // self._size

    def _cut(self, parts: list[Any], k: Any) -> list[Any]:
        return [part[k * self._size : (k + 1) * self._size] for part in parts]


def _arrays(like: list[Any], count: Any, without: int) -> list[Any]:
    """Arrays of `count` blocks of what has such types, and such shapes but for the first axes `without`."""
    return [
        tf.TensorArray(each.dtype, size=count, infer_shape=False, element_shape=[None, *each.shape[without:]])
        for each in like
    ]
