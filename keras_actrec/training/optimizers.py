"""RPROP, and optimizers that decay weights as the papers' code does."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_actrec._types import Tensor
from keras_actrec.errors import UserError
from keras_actrec.training.tables import TrainTable, counted

_VARIANTS = ("irprop-", "rprop+", "rprop-")


@keras.saving.register_keras_serializable("keras_actrec")
class RPROP(keras.optimizers.Optimizer):
    """Resilient backpropagation: every weight has a step of its own and moves against its gradient's sign.

    Of a weight `w` with gradient `g` and step `d`, where `s` is the sign of `g` and `s'` that of the update
    before: `d <- min(d eta_plus, max_step)` where `s s' > 0`, `d <- max(d eta_minus, min_step)` where
    `s s' < 0`; then `w <- w - d s`. Where the gradient has turned, `s s' < 0`, the variants differ:

    - `"irprop-"`: `s <- 0`, so the weight rests for one update and goes on from there with the shorter step.
    - `"rprop+"`, as printed by Riedmiller and Braun: the update before is taken back, `w <- w + d' s'` with
      the step `d'` that it had, and `s <- 0`.
    - `"rprop-"`: nothing more; the weight goes back by the shorter step at once.

    The gradient's size means nothing, so clipping does nothing. Small batches make the signs noise, so
    gradients are best accumulated over a good part of the data. Signs and steps are variables of the
    optimizer and are saved with it.

    Args:
        learning_rate: step of every weight before the first update, a float.
        eta_minus: factor of a step after a turn, in (0, 1).
        eta_plus: factor of a step after two gradients of one sign, above 1.
        min_step: shortest step, above 0.
        max_step: longest step.
        variant: one of the three above.
        **kwargs: of `keras.optimizers.Optimizer`, such as `gradient_accumulation_steps`.

    Raises:
        UserError: for a value out of range, another variant, or a schedule for a learning rate.

    Reference: Riedmiller and Braun, 1993; Igel and Huesken, 2000, who name the variants. `"irprop-"` is also
    `torch.optim.Rprop`. Where we differ: we look at the product of two signs, not
    of two gradients, so tiny gradients, whose product is 0 in float32, count too.
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        eta_minus: float = 0.5,
        eta_plus: float = 1.2,
        min_step: float = 1e-6,
        max_step: float = 50.0,
        variant: str = "irprop-",
        **kwargs: Any,
    ) -> None:
        if isinstance(learning_rate, int):
            learning_rate = float(learning_rate)
        if not isinstance(learning_rate, float) or not 0 < min_step <= learning_rate <= max_step:
            raise UserError(
                f"`learning_rate` must be a number from `min_step`, {min_step}, which is above 0, "
                f"to `max_step`, {max_step}. Received: learning_rate={learning_rate}"
            )
        if not 0 < eta_minus < 1 < eta_plus:
            raise UserError(
                "`eta_minus` must be in (0, 1) and `eta_plus` above 1. "
                f"Received: eta_minus={eta_minus}, eta_plus={eta_plus}"
            )
        if variant not in _VARIANTS:
            raise UserError(f"`variant` must be one of {', '.join(_VARIANTS)}. Received: variant={variant!r}")
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.variant = variant
        self.initial_step = learning_rate
        self.eta_minus = eta_minus
        self.eta_plus = eta_plus
        self.min_step = min_step
        self.max_step = max_step

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.signs, self.steps = self.add_optimizer_variables(
            variables,
            ["sign", "step"],
            initializer=["zeros", keras.initializers.Constant(self.initial_step)],
        )

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        sign, step = self.signs[index], self.steps[index]
        new = ops.sign(ops.cast(gradient, variable.dtype))
        turned = new * sign
        factor = ops.where(turned > 0, self.eta_plus, ops.where(turned < 0, self.eta_minus, 1.0))
        if self.variant == "rprop+":
            self.assign_add(variable, ops.where(turned < 0, step * sign, ops.zeros_like(new)))
        if self.variant != "rprop-":
            new = ops.where(turned < 0, ops.zeros_like(new), new)
        self.assign(step, ops.clip(step * ops.cast(factor, variable.dtype), self.min_step, self.max_step))
        self.assign(sign, new)
        self.assign_sub(variable, step * sign)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate": self.initial_step,
            "eta_minus": self.eta_minus,
            "eta_plus": self.eta_plus,
            "min_step": self.min_step,
            "max_step": self.max_step,
            "variant": self.variant,
        }


class _L2(keras.optimizers.Optimizer):
    """Adds `l2 w` to the gradient of a weight `w`, after clipping."""

    def __init__(self, *args: Any, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not l2 >= 0:
            raise UserError(f"`l2` must be at least 0. Received: l2={l2}")
        self.l2 = l2

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        super().update_step(self._with_decay(gradient, variable), variable, learning_rate)

    def _with_decay(self, gradient: Tensor, variable: keras.Variable) -> Tensor:
        gradient = ops.cast(gradient, variable.dtype)
        return gradient + self.l2 * variable if self.l2 and self._use_weight_decay(variable) else gradient

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("keras_actrec")
class SGD(_L2, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and weight decay as in PyTorch and in the papers.

    `g <- g + l2 w`, `v <- momentum v + g`, `w <- w - learning_rate v`; with Nesterov's momentum
    `w <- w - learning_rate (g + momentum v)`.

    Keras's has the learning rate in the momentum, `v <- momentum v - learning_rate g`, so that after a drop
    of the rate the old one goes on for some updates, and its `weight_decay` takes
    `learning_rate weight_decay w` from the weight, apart from the momentum. The numbers are those of
    `torch.optim.SGD(lr, momentum, weight_decay=l2)`.

    Args:
        *args: of `keras.optimizers.SGD`: `learning_rate`, `momentum`, `nesterov`.
        l2: weight decay, at least 0. `exclude_from_weight_decay` holds for it.
        **kwargs: of `keras.optimizers.SGD`.

    Raises:
        UserError: for a negative `l2`.
    """

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        gradient = self._with_decay(gradient, variable)
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            self.assign(velocity, self.momentum * velocity + gradient)
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * gradient)


@keras.saving.register_keras_serializable("keras_actrec")
class AdamL2(_L2, keras.optimizers.Adam):
    """Adam with weight decay in the gradient, `g <- g + l2 w`, as `torch.optim.Adam`'s `weight_decay`.

    The other rule, decay apart from Adam's step, is `keras.optimizers.AdamW`.

    Args:
        *args: of `keras.optimizers.Adam`.
        l2: weight decay, at least 0. `exclude_from_weight_decay` holds for it.
        **kwargs: of `keras.optimizers.Adam`.

    Raises:
        UserError: for a negative `l2`.
    """


@keras.saving.register_keras_serializable("keras_actrec")
class RMSpropL2(_L2, keras.optimizers.RMSprop):
    """RMSprop with weight decay in the gradient, `g <- g + l2 w`, as `torch.optim.RMSprop`'s `weight_decay`.

    Args:
        *args: of `keras.optimizers.RMSprop`.
        l2: weight decay, at least 0. `exclude_from_weight_decay` holds for it.
        **kwargs: of `keras.optimizers.RMSprop`.

    Raises:
        UserError: for a negative `l2`.
    """


class _Paced(keras.optimizers.Optimizer):
    """Gives some weights a learning rate of their own, and none at all before an update.

    The optimizer's moments of weights without a rate follow their gradients, so that the first steps that
    they take are as long as any others.
    """

    def pace(self, slow: Iterable[int], factor: float, start: int) -> None:
        """Of the weights with the numbers `slow`, `factor` times the rate, and 0 before update `start`."""
        self.slow = frozenset(slow)
        self.factor = factor
        self.start = start

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        if self._get_variable_index(variable) in self.slow:
            rate = rate * ops.cast(ops.where(self.iterations >= self.start, self.factor, 0.0), variable.dtype)
        if self.weight_decay and self._use_weight_decay(variable):
            self.assign_sub(variable, rate * self.weight_decay * variable)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        """Nothing: Keras's has one rate for all weights."""


def learning_rate_of(
    table: TrainTable, batches: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate that the optimizer of `[train]` starts with: a number, or a schedule over batches."""
    schedules, values = keras.optimizers.schedules, table.model_dump()
    if table.schedule == "step":
        # Keras counts steps from 0 and keeps the first rate up to and including the boundary.
        last = counted(values["drop_after"], table.epochs * batches) - 1
        return schedules.PiecewiseConstantDecay(
            [last], [values["learning_rate"], values["final_learning_rate"]]
        )
    if table.schedule == "cosine_restarts":
        return schedules.CosineDecayRestarts(
            values["learning_rate"],
            counted(values["restart_after"], table.epochs) * batches,
            t_mul=values["restart_factor"],
        )
    return table.learning_rate


def optimizer_of(
    table: TrainTable,
    batches: int,
    weights: Sequence[keras.Variable],
    backbone: Sequence[keras.Variable] = (),
) -> keras.optimizers.Optimizer:
    """The optimizer that `[train]` names.

    Args:
        table: `[train]` of a recipe.
        batches: number of batches an epoch.
        weights: the weights that will be trained.
        backbone: those among them that `backbone_rate` and `unfreeze_after` are about.
    """
    options: dict[str, Any] = {
        "learning_rate": learning_rate_of(table, batches),
        "clipnorm": table.clipnorm,
        "global_clipnorm": table.global_clipnorm,
        "clipvalue": table.clipvalue,
    }
    steps = counted(table.accumulate, batches)
    if steps > 1:
        options["gradient_accumulation_steps"] = steps
    if table.ema is not None:
        options |= {"use_ema": True, "ema_momentum": table.ema}
    kind, own = _kind_of(table)
    if table.paces_backbone:
        kind = type(f"Paced{kind.__name__}", (_Paced, kind), {})
    optimizer = kind(**options, **own)
    if isinstance(optimizer, _Paced):
        slow = {id(weight) for weight in backbone}
        optimizer.pace(
            [number for number, weight in enumerate(weights) if id(weight) in slow],
            table.backbone_rate or 1.0,
            counted(table.unfreeze_after or 0, table.epochs, 0) * batches // steps,
        )
    if table.decay == "kernels":
        # Biases, gamma and beta are vectors, or numbers; the bias of Keras's GRU is a matrix.
        optimizer.exclude_from_weight_decay(
            [weight for weight in weights if len(weight.shape) < 2 or weight.name.endswith("bias")]
        )
    return optimizer


def _kind_of(table: TrainTable) -> tuple[type[keras.optimizers.Optimizer], dict[str, Any]]:
    """The class of the optimizer, and the arguments that it alone has."""
    decay, optimizers = table.weight_decay, keras.optimizers
    if table.optimizer == "rprop":
        return RPROP, {"variant": table.rprop}
    if table.optimizer == "sgd":
        return SGD, {"momentum": table.momentum, "nesterov": table.nesterov, "l2": decay or 0.0}
    if table.optimizer == "adamw":
        return optimizers.AdamW, {"weight_decay": decay}
    if table.optimizer == "rmsprop":
        return (RMSpropL2, {"l2": decay}) if decay else (optimizers.RMSprop, {})
    return (AdamL2, {"l2": decay}) if decay else (optimizers.Adam, {})
