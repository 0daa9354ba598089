"""A recurrent loop on TensorFlow in blocks, each of which runs again for its gradient.

`tf.recompute_grad` does not do: what a function takes from around it, such as joined kernels, would get no
gradient.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def in_blocks(run: Callable[..., tuple[Any, Any]], size: int, states: Any, sequences: Any) -> tuple[Any, Any]:
    """`run(states, sequences)`, a block of `size` steps at a time.

    XLA does not take it: the last block may be shorter than the others.
    """
    structure: Any = None

    def block(firsts: list[Any], cuts: list[Any]) -> tuple[list[Any], list[Any]]:
        nonlocal structure
        structure, lasts = run(
            tf.nest.pack_sequence_as(states, firsts), tf.nest.pack_sequence_as(sequences, cuts)
        )
        return tf.nest.flatten(structure), tf.nest.flatten(lasts)

    firsts, parts = tf.nest.flatten(states), tf.nest.flatten(sequences)
    traced = tf.function(block, autograph=False).get_concrete_function(
        [tf.TensorSpec(first.shape, first.dtype) for first in firsts],
        [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in parts],
    )
    like, _ = traced.structured_outputs
    # What a block takes from around it, such as kernels, becomes an argument: a custom gradient is by these.
    around = [tensor for tensor in traced.captured_inputs if tensor.dtype.is_floating]
    outputs, lasts = _Blocks(block, size, like).run(firsts, parts, around)
    for output in outputs:
        output.set_shape([parts[0].shape[0], *output.shape[1:]])
    return tf.nest.pack_sequence_as(structure, outputs), tf.nest.pack_sequence_as(states, lasts)


class _Blocks:
    """Runs `block(first states, cuts) -> (outputs, last states)`, lists of tensors, one after another.

    Args:
        block: the function.
        size: steps of a block; the last one is shorter where they do not come out even.
        like: outputs of a block, for their types and shapes.
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
        begin = (tf.constant(0), firsts, kept, _arrays(self._like, count))
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
        begin = (count - 1, of_lasts, _arrays(learned, count), zeros)
        _, of_firsts, arrays, sums = tf.while_loop(lambda k, *_: k >= 0, body, begin)
        of_learned = iter([array.concat() for array in arrays])
        return of_firsts, [next(of_learned) if part.dtype.is_floating else None for part in parts], sums

    def _count(self, parts: list[Any]) -> Any:
        return (tf.shape(parts[0])[0] + self._size - 1) // self._size

    def _cut(self, parts: list[Any], k: Any) -> list[Any]:
        return [part[k * self._size : (k + 1) * self._size] for part in parts]


def _arrays(like: list[Any], count: Any) -> list[Any]:
    """Arrays of `count` tensors of such types and shapes but for their first axis."""
    return [
        tf.TensorArray(each.dtype, size=count, infer_shape=False, element_shape=[None, *each.shape[1:]])
        for each in like
    ]
