"""Skeletons with what the gates let through of each joint."""

from typing import TYPE_CHECKING

import numpy as np

from keras_actrec.insight._pictures import THEMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_actrec.data import Body
    from keras_actrec.data.preprocessors import SkeletonPreprocessor
    from keras_actrec.insight.explain import Explanation

_SMALL, _LARGE = 10.0, 110.0  # areas of circles, in points


def response_of(explanation: "Explanation") -> np.ndarray:
    """The response of each joint against its mean over the clip, `(T, bodies * joints)`: 1 is as in the mean.

    `sum_i a[t, i] / mean_t a[t, i]` over the coordinates i of a joint, divided by how many there are.
    """
    assert explanation.gates is not None and explanation.joints is not None
    gates, joints = explanation.gates, explanation.joints.shape[1] * explanation.joints.shape[2]
    average = np.maximum(gates[explanation.mask].mean(axis=0), 1e-12)
    return relative_response(gates, average, joints) * joints / gates.shape[1]


def relative_response(gates: np.ndarray, average: np.ndarray, joints: int) -> np.ndarray:
    """How much a gate opens for each joint, against its average: `a_hat[i, j] = a[i, j] / a_bar[i]`.

    The coordinates of a joint are summed, which stand one after the other, as the joints do.

    Args:
        gates: a, `(T, D)`.
        average: a_bar, `(D,)`.
        joints: number of joints, of all persons, `D / joints` coordinates each.

    Returns:
        `(T, joints)`.
    """
    return (gates / average).reshape(len(gates), joints, -1).sum(axis=-1)


def origin_of(preprocessor: "SkeletonPreprocessor") -> int | None:
    """The joint of the first person that is the origin of what a model sees; None where none is."""
    center = preprocessor.transform.center
    return center if isinstance(center, int) else None


class Stage:
    """Draws the bodies of a sequence from the front, all steps at one scale.

    Args:
        joints: `(T, bodies, joints, 3)`; a missing joint is zeros. Without depth they are pixels of an image,
            whose rows count from the top.
        response: `(T, bodies * joints)`, the larger, the larger a joint and the stronger
            its color; None draws all alike.
        body: which joints bones are between, and where up is.
        origin: joint of the first person at zero, where it is no missing one.
    """

    def __init__(
        self, joints: np.ndarray, response: np.ndarray | None, body: "Body | None", origin: int | None = None
    ) -> None:
        self._joints, self._body = joints, body
        self._known = np.asarray(joints.any(axis=-1))  # (T, bodies, joints)
        if origin is not None:
            self._known[:, 0, origin] |= self._known[:, 0].any(axis=-1)
        self._shares = None
        if response is not None:
            shown = response.reshape(self._known.shape)
            low, high = (shown[self._known].min(), shown[self._known].max()) if self._known.any() else (0, 0)
            self._shares = (shown - low) / ((high - low) or 1)
        places = joints[self._known][:, :2] if self._known.any() else np.zeros((1, 2))
        middle, spread = (places.max(0) + places.min(0)) / 2, np.ptp(places, axis=0)
        self._low, self._high = middle - 0.58 * spread - 1e-6, middle + 0.58 * spread + 1e-6
        self.aspect = float(np.divide(*(self._high - self._low)[::-1]))  # height over width
        self._up = bool(joints[..., 2].any()) if body is None else self._is_up(body)

    def _is_up(self, body: "Body") -> bool:
        """Whether y grows upwards: Kinect has it from below, pictures from above. Shoulders and hips tell."""
        heights = []
        for end in body.torso:
            places = list(body.place(end))
            known = self._known[:, :, places]
            heights.append(self._joints[:, :, places, 1][known].mean() if known.any() else np.nan)
        upper, lower = heights
        return bool(self._joints[..., 2].any()) if np.isnan(upper - lower) else bool(upper > lower)

    def draw(self, axes: "Axes", step: int, theme: dict[str, str], size: float = 1.0) -> None:
        """Draws one step; `size` makes circles larger."""
        for body, known in zip(self._joints[step], self._known[step], strict=True):
            for start, end in self._body.lines if self._body else ():
                if known[start] and known[end]:
                    axes.plot(*body[[start, end], :2].T, color=theme["muted"], linewidth=0.9, zorder=1)
        known = self._known[step]
        points = self._joints[step][known][:, :2].T
        if self._shares is None:
            axes.scatter(*points, s=size * 18, color=theme["first"], zorder=2)
        else:
            shares = self._shares[step][known]
            axes.scatter(
                *points,
                s=size * (_SMALL + (_LARGE - _SMALL) * shares),
                c=shares,
                cmap="viridis" if theme is THEMES["dark"] else "viridis_r",  # the strongest stands out
                vmin=0,
                vmax=1,
                edgecolors=theme["card"],
                linewidths=0.5,
                zorder=2,
            )
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.set_facecolor("none")
        axes.set_xlim(self._low[0], self._high[0])
        low, high = self._low[1], self._high[1]
        axes.set_ylim(*((low, high) if self._up else (high, low)))
        axes.spines[:].set_color(theme["line"])
