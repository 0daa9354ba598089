"""The recurrent loop on JAX: `lax.scan`."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from keras_actrec._backend.taps import Linear, recorded_by

_Body: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]


_VECTOR = 16  # values


def _by_rows(kernel: Any) -> Any:
    """A kernel `(D, N)` as `(N, D)`, made once before the loop.

    A product of few rows waits for its kernel, and XLA on CPUs reads one at twice the speed where what is
    summed lies side by side. Columns are filled up to whole vectors for the same reason. The gradient of the
    product's input takes it as it is: a second copy in the other order is read faster and does not stay in
    the cache, and at 512 units the steps of EleAttGRU and HM-AN together take a seventh longer.
    """
    columns = kernel.shape[1]
    return jnp.pad(kernel, ((0, 0), (0, -columns % _VECTOR if columns > _VECTOR else 0))).T


def _multiply(x: Any, rows: Any, columns: int) -> Any:
    return lax.dot_general(x, rows, (((x.ndim - 1,), (1,)), ((), ())))[..., :columns]


class LinearByRows(Linear):
    """A product that is made where a loop over few rows reads its kernel fastest; see `_by_rows`."""

    def __init__(self, *kernels: Any, bias: Any = None) -> None:
        super().__init__(*kernels, bias=bias)
        self._rows = _by_rows(self.kernel)

    def multiply(self, x: Any) -> Any:
        return _multiply(x, self._rows, self.kernel.shape[1])

    def multiply_steps(self, x: Any) -> Any:
        """As `multiply`: where a batch is spread over devices, it cannot become one axis with the steps."""
        return self.multiply(x)


def loop(
    step: Callable[..., tuple[Any, Any]],
    states: Any,
    sequences: Any,
    unroll: bool = False,
    with_taps: bool = False,
    remat: int | None = None,
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states. `with_taps`: see `taps`. With
    `remat`, a block of so many steps keeps its first states alone, and runs again for its gradient.
    """
    if remat:
        return _in_blocks(functools.partial(loop, step, with_taps=with_taps), remat, states, sequences)

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        outputs, carry = step(carry, inputs)
        return carry, outputs

    length = jax.tree.leaves(sequences)[0].shape[0]
    scan = functools.partial(lax.scan, length=length, unroll=length if unroll else 1)
    products = _products(body, states, sequences) if with_taps else []
    if products:
        states, outputs = _with_taps(scan, body, products, states, sequences)
    else:
        with recorded_by(None):
            states, outputs = scan(body, states, sequences)
    return outputs, states


def _in_blocks(
    run: Callable[..., tuple[Any, Any]], size: int, states: Any, sequences: Any
) -> tuple[Any, Any]:
    """`run(states, sequences)`, a block of `size` steps at a time."""

    def block(states: Any, part: Any) -> tuple[Any, Any]:
        outputs, states = run(states, part)
        return states, outputs

    length = jax.tree.leaves(sequences)[0].shape[0]
    count = length // size
    whole = jax.tree.map(lambda x: x[: count * size].reshape(count, size, *x.shape[1:]), sequences)
    # In a scan XLA finds nothing that it could share between the first run and the second.
    states, outputs = lax.scan(jax.checkpoint(block, prevent_cse=False), states, whole)
    outputs = jax.tree.map(lambda x: x.reshape(count * size, *x.shape[2:]), outputs)
    if count * size < length:
        states, others = jax.checkpoint(block)(states, jax.tree.map(lambda x: x[count * size :], sequences))
        outputs = jax.tree.map(lambda *parts: jnp.concatenate(parts), outputs, others)
    return outputs, states


def _products(body: _Body, states: Any, sequences: Any) -> list[tuple[Linear, jax.ShapeDtypeStruct]]:
    """The products of a step, in their order, and what comes out of each."""
    products: list[tuple[Linear, jax.ShapeDtypeStruct]] = []

    def note(linear: Linear, x: Any) -> Any:
        result = x @ linear.kernel
        products.append((linear, jax.ShapeDtypeStruct(result.shape, result.dtype)))
        return result

    with recorded_by(note):
        jax.eval_shape(body, states, _one_step(sequences))
    return products


def _one_step(sequences: Any) -> Any:
    return jax.tree.map(lambda sequence: jax.ShapeDtypeStruct(sequence.shape[1:], sequence.dtype), sequences)


def _with_taps(
    scan: Callable[..., Any],
    body: _Body,
    products: list[tuple[Linear, jax.ShapeDtypeStruct]],
    states: Any,
    sequences: Any,
) -> tuple[Any, Any]:
    """`scan(body, states, sequences)`, whose backward pass multiplies once for each kernel."""

    def tapped(rows: Any, taps: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
        given = iter(zip(rows, taps, strict=True))
        collected = []

        def record(linear: Linear, x: Any) -> Any:
            rows, tap = next(given)
            collected.append(x)
            return tap + _multiply(x, rows, tap.shape[1])

        with recorded_by(record):
            carry, outputs = body(carry, inputs)
        return carry, (outputs, collected)

    kernels = [linear.kernel for linear, _ in products]
    biases = [linear.bias for linear, _ in products]
    shapes = [shape for _, shape in products]
    # What the step takes from around it becomes an argument: a custom gradient must not close over tracers.
    rows = [_by_rows(kernel) for kernel in kernels]
    tapped, around = jax.closure_convert(tapped, rows, shapes, states, _one_step(sequences))

    def taps_of(biases: Any, *lengths: int) -> list[Any]:
        return [
            jnp.broadcast_to(jnp.zeros((), shape.dtype) if bias is None else bias, (*lengths, *shape.shape))
            for bias, shape in zip(biases, shapes, strict=True)
        ]

    @jax.custom_vjp
    def run(kernels: Any, biases: Any, around: Any, states: Any, sequences: Any) -> Any:
        rows, taps = [_by_rows(kernel) for kernel in kernels], taps_of(biases)

        def one(carry: Any, inputs: Any) -> tuple[Any, Any]:
            carry, (outputs, _) = tapped(rows, taps, carry, inputs, *around)
            return carry, outputs

        return scan(one, states, sequences)

    def forward(kernels: Any, biases: Any, around: Any, states: Any, sequences: Any) -> Any:
        rows = [_by_rows(kernel) for kernel in kernels]

        def whole(taps: Any, around: Any, states: Any, sequences: Any) -> Any:
            def one(carry: Any, inputs: Any) -> tuple[Any, Any]:
                tap, inputs = inputs
                return tapped(rows, tap, carry, inputs, *around)

            states, (outputs, collected) = scan(one, states, (taps, sequences))
            return (states, outputs), collected

        taps = taps_of(biases, jax.tree.leaves(sequences)[0].shape[0])
        result, pull_back, collected = jax.vjp(whole, taps, around, states, sequences, has_aux=True)
        return result, (pull_back, collected)

    def backward(residuals: Any, cotangents: Any) -> tuple[Any, ...]:
        pull_back, collected = residuals
        deltas, *others = pull_back(cotangents)
        of_kernels = [jnp.einsum("tbd,tbn->dn", x, delta) for x, delta in zip(collected, deltas, strict=True)]
        of_biases = [
            None if bias is None else delta.sum((0, 1)) for bias, delta in zip(biases, deltas, strict=True)
        ]
        return (of_kernels, of_biases, *others)

    run.defvjp(forward, backward)
    return run(kernels, biases, around, states, sequences)
