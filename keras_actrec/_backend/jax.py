"""JAX: `lax.scan`."""

import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, ref

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from keras_actrec._backend.stock import (  # noqa: F401 (the package takes them from here)
    average_pool2d,
    batch_norm,
    call_network,
    conv2d,
    max_pool2d,
)
from keras_actrec._backend.taps import Linear, recorded_by
from keras_actrec._types import Tensor

_MOST_KEPT = 1 << 28  # bytes of compiled programs; one is a few hundred thousand
_WRITTEN = 60  # seconds after which nobody is writing a program any more


def loop(
    step: Callable[..., tuple[Any, Any]],
    states: Any,
    sequences: Any,
    unroll: bool = False,
    with_taps: bool = False,
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states. `with_taps`: see `taps`.
    """

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


_Body: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]


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


def _is_tall(linear: Linear) -> bool:
    # Such kernels are transposed once before the loop: XLA would copy them into another order at each step.
    rows, columns = linear.kernel.shape
    return columns <= rows


def _product(x: Any, kernel: Any, linear: Linear) -> Any:
    return lax.dot_general(x, kernel, (((1,), (1 if _is_tall(linear) else 0,)), ((), ())))


def _with_taps(
    scan: Callable[..., Any],
    body: _Body,
    products: list[tuple[Linear, jax.ShapeDtypeStruct]],
    states: Any,
    sequences: Any,
) -> tuple[Any, Any]:
    """`scan(body, states, sequences)`, whose backward pass multiplies once for each kernel."""

    def tapped(kernels: Any, taps: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
        given = iter(zip(kernels, taps, strict=True))
        collected = []

        def record(linear: Linear, x: Any) -> Any:
            kernel, tap = next(given)
            collected.append(x)
            return tap + _product(x, kernel, linear)

        with recorded_by(record):
            carry, outputs = body(carry, inputs)
        return carry, (outputs, collected)

    kernels = [linear.kernel.T if _is_tall(linear) else linear.kernel for linear, _ in products]
    biases = [linear.bias for linear, _ in products]
    shapes = [shape for _, shape in products]
    # What the step takes from around it becomes an argument: a custom gradient must not close over tracers.
    tapped, around = jax.closure_convert(tapped, kernels, shapes, states, _one_step(sequences))

    def taps_of(biases: Any, *lengths: int) -> list[Any]:
        return [
            jnp.broadcast_to(jnp.zeros((), shape.dtype) if bias is None else bias, (*lengths, *shape.shape))
            for bias, shape in zip(biases, shapes, strict=True)
        ]

    @jax.custom_vjp
    def run(kernels: Any, biases: Any, around: Any, states: Any, sequences: Any) -> Any:
        taps = taps_of(biases)

        def one(carry: Any, inputs: Any) -> tuple[Any, Any]:
            carry, (outputs, _) = tapped(kernels, taps, carry, inputs, *around)
            return carry, outputs

        return scan(one, states, sequences)

    def forward(kernels: Any, biases: Any, around: Any, states: Any, sequences: Any) -> Any:
        def whole(taps: Any, around: Any, states: Any, sequences: Any) -> Any:
            def one(carry: Any, inputs: Any) -> tuple[Any, Any]:
                tap, inputs = inputs
                return tapped(kernels, tap, carry, inputs, *around)

            states, (outputs, collected) = scan(one, states, (taps, sequences))
            return (states, outputs), collected

        taps = taps_of(biases, jax.tree.leaves(sequences)[0].shape[0])
        result, pull_back, collected = jax.vjp(whole, taps, around, states, sequences, has_aux=True)
        return result, (pull_back, collected)

    def backward(residuals: Any, cotangents: Any) -> tuple[Any, ...]:
        pull_back, collected = residuals
        deltas, *others = pull_back(cotangents)
        of_kernels = [
            jnp.einsum("tbd,tbn->nd" if _is_tall(linear) else "tbd,tbn->dn", x, delta)
            for (linear, _), x, delta in zip(products, collected, deltas, strict=True)
        ]
        of_biases = [
            None if bias is None else delta.sum((0, 1)) for bias, delta in zip(biases, deltas, strict=True)
        ]
        return (of_kernels, of_biases, *others)

    run.defvjp(forward, backward)
    return run(kernels, biases, around, states, sequences)


def depthwise_conv2d(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Depthwise convolution of `x (B, H, W, C)` with `kernel (k, k, C, 1)`, `same` padding.

    XLA has no fast one on CPUs. On a CPU it is a sum of shifted inputs times one tap each, which XLA fuses.
    """
    if jax.default_backend() != "cpu":
        return keras.ops.depthwise_conv(x, kernel, stride, "same", "channels_last")
    size = kernel.shape[0]
    outs = [-(-side // stride) for side in x.shape[1:3]]
    pads = [max((out - 1) * stride + size - side, 0) for out, side in zip(outs, x.shape[1:3], strict=True)]
    x = jnp.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    total: Any = 0
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + (outs[0] - 1) * stride + 1, stride)
            columns = slice(j, j + (outs[1] - 1) * stride + 1, stride)
            total = total + x[:, rows, columns] * kernel[i, j, :, 0]
    return total


def keep_programs() -> None:
    """Keep what is compiled in the user's folder of caches, for the next process on such a machine.

    A program holds instructions of its processor: another kind, with the same home, has another folder. JAX
    knows a program again by its code, its own version and its options, and removes those that were longest
    not used. Nothing is kept where JAX's settings say where it is, or that it is not
    (`JAX_COMPILATION_CACHE_DIR`, `JAX_ENABLE_COMPILATION_CACHE=0`), where the folder cannot be written or can
    be by others, whose code would be run, where the disk is nearly full, or without the package `filelock`,
    which JAX needs to keep a bound.
    """
    config = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    folder = _folder_of_programs()
    if folder is None or importlib.util.find_spec("filelock") is None:
        return
    _remove_halves(folder)
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_compilation_cache_max_size", _MOST_KEPT)
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _folder_of_programs() -> Path | None:
    """The folder, made if missing; None where it is of no use."""
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = caches / "keras_actrec" / f"jax-{_processor()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
        ours = os.name != "posix" or (facts.st_uid == os.getuid() and not facts.st_mode & 0o022)
        room = shutil.disk_usage(folder).free > 2 * _MOST_KEPT
    except (OSError, RuntimeError):  # no home, or one that is not for writing: no more than slower
        return None
    return folder if ours and room and os.access(folder, os.W_OK) else None


def _processor() -> str:
    """The kind of processor and its instructions, as some digits."""
    facts, cpuinfo = [platform.machine()], Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = ("flags", "Features", "model name", "CPU implementer", "CPU part")
        facts += sorted({line for line in cpuinfo.read_text().splitlines() if line.startswith(names)})
    else:
        facts += [platform.processor(), platform.node()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _remove_halves(folder: Path) -> None:
    """Removes programs that a killed process was writing: JAX dates them afterwards, and never again."""
    for program in folder.glob("*-cache"):
        dated = program.with_name(program.name.removesuffix("-cache") + "-atime")
        if not dated.exists() and time.time() - program.stat().st_mtime > _WRITTEN:
            program.unlink(missing_ok=True)


_COMPILED: WeakKeyDictionary[keras.Model, Callable[..., Any]] = WeakKeyDictionary()


def split(x: Any, sizes: Sequence[int]) -> list[Any]:
    """The parts of `x` along its last axis, of the given sizes."""
    return jnp.split(x, np.cumsum(sizes[:-1]).tolist(), axis=-1)


def with_steps_of(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """The sequences; the numbers of steps are known before anything runs."""
    return sequences


def predictor(model: keras.Model) -> Callable[[Any], np.ndarray]:
    """A function of a batch, as `model.predict_on_batch`, that several threads may call.

    Keras gives the weights away to its compiled function and takes them back, so it can run one at a time.
    """
    if model not in _COMPILED:
        weakly = ref(model)  # a function that held the model would keep itself alive

        def call(trainable: Any, other: Any, batch: Any) -> Any:
            held: Any = weakly()
            return held.stateless_call(trainable, other, batch, training=False)[0]

        _COMPILED[model] = jax.jit(call)
    compiled = _COMPILED[model]
    trainable = [weight.value for weight in model.trainable_variables]
    other = [weight.value for weight in model.non_trainable_variables]
    return lambda batch: np.asarray(compiled(trainable, other, batch))


def devices() -> list[str]:
    """Names of the devices, such as `cpu:0`."""
    return [f"{device.platform}:{device.id}" for device in jax.devices()]


def seed(number: int) -> None:
    """Seed what the backend draws by itself: nothing, Keras seeds every draw."""


def generators() -> list[np.ndarray]:
    """States of the generators that the backend draws from by itself: none."""
    return []


def set_generators(states: Sequence[np.ndarray]) -> None:
    """Put back what `generators` gave."""
