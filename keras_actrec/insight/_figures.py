"""What the pictures of several runs share: colors, axes, and how they are saved."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_actrec._files import replacing
from keras_actrec._fonts import lettering
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.insight._pictures import THEMES

if TYPE_CHECKING:  # the extra viz
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = THEMES["light"]
# Okabe and Ito's for the color-blind, without black and the yellow that is too pale on white.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_AN_INCH = 11  # letters of a title


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, of so many inches.

    Raises:
        UserError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("A picture needs the extra `viz`: pip install 'keras_actrec[viz]'") from error
    return Figure((width, height), layout="constrained")


def plain(axes: "Axes", x: str, y: str) -> None:
    """Axes with two spines and quiet colors, and what they are called."""
    axes.set_xlabel(x, color=COLORS["muted"], parse_math=False)
    axes.set_ylabel(y, color=COLORS["muted"], parse_math=False)
    axes.tick_params(length=0, labelcolor=COLORS["ink"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(COLORS["line"])


def head(figure: "Figure", title: str, color: str = COLORS["ink"]) -> None:
    """Write a title at the top left, in as many lines as it takes."""
    (text,), families = lettering([title], lambda _: "", most=200)
    look = {"fontsize": 11, "color": color, "fontfamily": families, "parse_math": False}
    most = int(_AN_INCH * figure.get_figwidth())
    lines = len(textwrap.wrap(text, most))
    even = next(width for width in range(1, most + 1) if len(textwrap.wrap(text, width)) <= lines)
    figure.suptitle(textwrap.fill(text, even), x=0.02, ha="left", **look)


def words(texts: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Names from outside as text that fonts have, a number for others, and how they are drawn."""
    drawn, families = lettering(texts, lambda number: f"#{number}")
    return list(drawn), {"fontfamily": families, "parse_math": False}


# Of each kind of file what is left out of it, so that the same picture is the same file.
_METADATA: dict[str, dict[str, Any]] = {
    ".pdf": {"CreationDate": None},
    ".png": {"Software": None},
    ".svg": {"Date": None},
}


def check_path(path: PathLike, also: Sequence[str] = ()) -> Path:
    """The path of a picture of a kind that is written.

    Raises:
        UserError: for another suffix.
    """
    path, kinds = Path(path), (*_METADATA, *also)
    if path.suffix.lower() not in kinds:
        raise UserError(f"{path}: a picture ends in {', '.join(kinds)}; name such a file")
    return path


def save(figure: "Figure", path: PathLike) -> Path:
    """Write the figure, complete or not at all: a PNG, or a PDF or SVG for print, by the suffix.

    Raises:
        UserError: for another suffix.
    """
    from matplotlib import rc_context

    path = check_path(path)
    # TrueType fonts, which printers and editors take; in SVG letters are outlines, whichever fonts there are.
    look = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "keras_actrec"}
    with rc_context(look), replacing(path) as part:
        figure.savefig(part, dpi=150, metadata=_METADATA[path.suffix.lower()])
    return path
