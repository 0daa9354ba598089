"""Pictures of a clip, as PNG files in data URIs.

Drawn with `matplotlib.figure.Figure` and not with pyplot: no global state and no choice of a window system.
Sizes are in CSS pixels; what is stored has twice as many, for sharp screens. Text is drawn with
`parse_math=False`, as a class may be called `$x$`.
"""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Page and charts share their colors. The two lines are from Okabe and Ito's palette for the color-blind.
THEMES = {
    "light": {
        "page": "#fcfcfb",
        "card": "#ffffff",
        "ink": "#20252b",
        "muted": "#5a636e",
        "line": "#d5dae0",
        "true": "#0072b2",
        "predicted": "#c84e00",
        "first": "#0072b2",
        "second": "#c84e00",
        "third": "#00785a",
        "fourth": "#a8487f",
        "fifth": "#866800",
        "UPDATE": "#0072b2",
        "COPY": "#d5dae0",
        "FLUSH": "#e0731d",
    },
    "dark": {
        "page": "#14171a",
        "card": "#1b1f23",
        "ink": "#e4e7eb",
        "muted": "#a0a9b4",
        "line": "#3a4149",
        "true": "#56b4e9",
        "predicted": "#f0a23c",
        "first": "#56b4e9",
        "second": "#f0a23c",
        "third": "#35c79a",
        "fourth": "#e39fc5",
        "fifth": "#f0e442",
        "UPDATE": "#56b4e9",
        "COPY": "#3a4149",
        "FLUSH": "#f0a23c",
    },
}


@dataclass(frozen=True)
class Picture:
    """A PNG for a light page and one for a dark page, with its size in CSS pixels and its text."""

    light: str
    dark: str
    width: int
    height: int
    alt: str


def _points(pixels: float) -> float:
    return pixels * 0.72  # a figure has 100 pixels an inch here


def _png(figure: "Figure") -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200, transparent=True, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
