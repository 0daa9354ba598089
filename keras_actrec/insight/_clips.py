"""What a page shows of an explained file: frames, skeletons, and what happened over time."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_actrec.insight import _overlay, _pictures
from keras_actrec.insight._pictures import THEMES, Picture
from keras_actrec.insight._skeleton import Stage, response_of
from keras_actrec.insight._timeline import Timeline, caption

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from keras_actrec.insight.explain import Explanation

_MOST = 24  # frames of a film
_ROW, _SKELETONS = 4, 12  # skeletons in a row, and in all
_WIDTH = 4.4  # inches of a picture, which has 100 pixels to each: it fits a phone
_SIDE = 320  # pixels of the longer side of an animation
_MOVING = 60  # frames of an animation
_PAUSE = 80  # milliseconds between two, where nothing tells the time


@dataclass(frozen=True)
class Frame:
    """A frame of a film: a JPEG in a data URI, its size in pixels, its text and what stands below it."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str


@dataclass(frozen=True)
class Film:
    """Frames with one thing laid over them."""

    name: str
    frames: tuple[Frame, ...]


def steps_of(explanation: "Explanation", most: int) -> list[int]:
    """The steps that count, or so many of them, evenly but for the one with most evidence, which is there."""
    there = np.flatnonzero(explanation.mask)
    if len(there) <= most:
        return there.tolist()
    chosen = there[np.linspace(0, len(there) - 1, most).round().astype(int)]
    if explanation.evidence is not None:
        best = there[explanation.evidence[there].max(axis=(1, 2)).argmax()]
        chosen[np.abs(chosen - best).argmin()] = best
    return chosen.tolist()


def films(explanation: "Explanation") -> list[Film]:
    """The frames of a clip, once for each thing that shows on them, or as they are where nothing does."""
    layers = _overlay.layers_of(explanation)
    found = [Film(layer.name, _frames(explanation, layer)) for layer in layers if layer.shares.any()]
    if not found and explanation.frames is not None:
        found = [Film("frames", _frames(explanation, None))]
    silent = [layer.name for layer in layers if not layer.shares.any()]
    return found + [Film(f"{name}: no place spoke for the answer", ()) for name in silent]


def _frames(explanation: "Explanation", layer: _overlay.Layer | None) -> tuple[Frame, ...]:
    return tuple(_frame(explanation, layer, step) for step in steps_of(explanation, _MOST))


def _frame(explanation: "Explanation", layer: _overlay.Layer | None, step: int) -> Frame:
    uri, width, height = _overlay.jpeg(_overlay.draw_on(explanation, layer, step))
    below = caption(explanation, step)
    alt = f"Frame at {below}."
    if layer is not None:
        rows, columns = layer.shares.shape[1:]
        row, column = divmod(int(layer.shares[step].argmax()), columns)
        alt += f" Most {layer.name} in row/column {row + 1}/{column + 1} of {rows} x {columns} cells."
    return Frame(uri, width, height, alt, below)


def timeline(explanation: "Explanation") -> Picture | None:
    """What happened over time; None where there is nothing."""
    shown = Timeline(explanation)
    if not shown.titles:
        return None
    pngs = {}
    for name, theme in THEMES.items():
        figure = _figure(_WIDTH, shown.height)
        shown.draw(figure, theme)
        pngs[name] = _pictures._png(figure)
    return _picture(pngs, shown.height, _words(explanation))


def _picture(pngs: dict[str, str], height: float, alt: str) -> Picture:
    return Picture(pngs["light"], pngs["dark"], round(100 * _WIDTH), round(100 * height), alt)


def _words(explanation: "Explanation") -> str:
    """The numbers of the panels."""
    mask, parts = explanation.mask, [f"{int(explanation.mask.sum())} steps."]
    if explanation.boundaries is not None:
        for number, shares in enumerate(explanation.boundaries[mask].T, 1):
            parts.append(f"Boundaries of layer {number}: {_numbers(shares)}.")
    if explanation.temperature is not None:
        parts.append(f"Temperature: {_numbers(explanation.temperature[mask])}.")
    if explanation.relations:
        for each in explanation.relations:
            frames = " ".join(str(frame + 1) for frame in each.frames)
            parts.append(f"Frames {frames}: {each.evidence:+.2f}.")
    if explanation.steps is not None:
        for name, _ in explanation.best():
            values = explanation.steps[mask, explanation.class_names.index(name)]
            parts.append(f"Probability of {name}: {_numbers(values)}.")
    return " ".join(parts)


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def stage_of(explanation: "Explanation") -> Stage:
    """Draws the skeletons of an explanation that has them."""
    assert explanation.joints is not None
    mask = explanation.mask
    response = None if explanation.gates is None else response_of(explanation)[mask]
    return Stage(explanation.joints[mask], response, explanation.body, explanation.origin)


def skeletons(explanation: "Explanation") -> list[Picture]:
    """Rows of skeletons, evenly in time; none of what has no joints."""
    if explanation.joints is None:
        return []
    stage, shown = stage_of(explanation), steps_of(explanation, _SKELETONS)
    found = []
    for start in range(0, len(shown), _ROW):
        row = shown[start : start + _ROW]
        height = _WIDTH / _ROW * min(max(stage.aspect, 0.3), 1) + 0.25  # low where all lie
        pngs = {}
        for name, theme in THEMES.items():
            figure = _figure(_WIDTH, height)
            for axes, step in zip(figure.subplots(1, _ROW, squeeze=False)[0], row, strict=False):
                stage.draw(axes, int(explanation.mask[:step].sum()), theme, size=0.35)
                axes.set_xlabel(caption(explanation, step), fontsize=8, color=theme["muted"])
            for axes in figure.axes[len(row) :]:
                axes.set_axis_off()
            pngs[name] = _pictures._png(figure)
        names = ", ".join(caption(explanation, step) for step in row)
        found.append(_picture(pngs, height, f"Skeletons at {names}."))
    return found


def moving(explanation: "Explanation") -> str:
    """The skeletons as an animation, in a data URI."""
    file = io.BytesIO()
    write_animation(explanation, file)
    return "data:image/gif;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def write_animation(explanation: "Explanation", file: Any) -> None:
    """Writes a GIF of the frames with the first thing that is laid over them, or of the skeletons."""
    steps = steps_of(explanation, _MOVING)
    seconds = explanation.seconds
    pauses = [_PAUSE] * len(steps)
    if seconds is not None and len(steps) > 1 and (np.diff(seconds[steps]) > 0).all():
        spans = (1000 * np.diff(seconds[steps])).round().astype(int).tolist()
        pauses = [max(20, span) for span in [*spans, spans[-1]]]  # browsers slow down what is faster
    first, *others = _drawn(explanation, steps)
    first.save(file, format="gif", save_all=True, append_images=others, duration=pauses, loop=0)


def _drawn(explanation: "Explanation", steps: list[int]) -> Iterator["Image"]:
    from PIL import Image

    if explanation.joints is None:
        layer = next(iter(_overlay.layers_of(explanation)), None)
        for step in steps:
            image = Image.fromarray(_overlay.draw_on(explanation, layer, step))
            image.thumbnail((_SIDE, _SIDE))
            yield image
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stage, theme = stage_of(explanation), THEMES["light"]
    figure = _figure(_SIDE / 100, _SIDE / 100)
    figure.set_layout_engine("none")  # which would measure every frame
    canvas, axes = FigureCanvasAgg(figure), figure.add_axes((0.02, 0.08, 0.96, 0.9))
    for step in steps:
        axes.clear()
        stage.draw(axes, int(explanation.mask[:step].sum()), theme)
        axes.set_xlabel(caption(explanation, step), fontsize=8, color=theme["muted"])
        canvas.draw()
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")
