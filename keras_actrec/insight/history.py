"""The history of a run as a picture."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from keras_actrec._files import read_csv, read_json, replacing
from keras_actrec._fonts import lettering
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.insight._pictures import THEMES

if TYPE_CHECKING:  # the extra viz
    from matplotlib.axes import Axes

_COLORS = THEMES["light"]
_FEW = 40  # epochs up to which each has a dot


def draw_history(run: PathLike) -> Path | None:
    """Draw the accuracy and the loss of a run, epoch by epoch, of its training and its validation part.

    Args:
        run: the run directory, with `history.csv` and `run.json`, which tells the epoch that is kept.

    Returns:
        The picture, `history.png` in the run directory; None where matplotlib (the extra `viz`) is missing.

    Raises:
        UserError: for a directory without these files.
    """
    folder = Path(run)
    history = _read(folder / "history.csv")
    record = read_json(folder / "run.json", "is it a run directory?")
    if importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure((7, 5), layout="constrained")
    accuracy, loss = figure.subplots(2, sharex=True)
    _draw(accuracy, "accuracy", history)
    _draw(loss, "loss", history)
    accuracy.set_ylim(-0.02, 1.02)
    loss.set_ylim(0, 1.05 * max(history["loss"] + history.get("val_loss", [])))
    loss.set_xlim(0.5, len(history["epoch"]) + 0.5)
    loss.set_xlabel("epoch", color=_COLORS["muted"])
    loss.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if "kept_epoch" in record:
        for axes in (accuracy, loss):
            axes.axvline(record["kept_epoch"] + 1, color=_COLORS["muted"], linewidth=1, linestyle=":")
        _mark(accuracy, history, record["kept_epoch"])
    names, families = lettering(["/".join(Path(record["recipe_name"]).parts[-2:])], lambda _: "")
    title = {"fontsize": 11, "color": _COLORS["ink"], "fontfamily": families, "parse_math": False}
    figure.suptitle(names[0], x=0.02, ha="left", **title)
    legend = {"loc": "upper right", "ncols": 2, "frameon": False, "labelcolor": _COLORS["ink"]}
    figure.legend(*accuracy.get_legend_handles_labels(), **legend)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.97))  # room for the legend
    with replacing(folder / "history.png") as part:
        figure.savefig(part, dpi=150, metadata={"Software": None})
    return folder / "history.png"


def _read(file: Path) -> dict[str, list[float]]:
    """The columns of a history."""
    try:
        rows = read_csv(file)
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist: is it a run directory?") from error
    except (IndexError, TypeError, ValueError) as error:
        raise UserError(f"{file} is not the history of a run: is it a run directory?") from error


def _draw(axes: "Axes", name: str, history: dict[str, list[float]]) -> None:
    epochs = [epoch + 1 for epoch in history["epoch"]]
    marker = "o" if len(epochs) <= _FEW else ""
    for column, label, color, style in (
        (name, "training", _COLORS["true"], "-"),
        (f"val_{name}", "validation", _COLORS["predicted"], "--"),
    ):
        if column in history:
            how = {"label": label, "color": color, "linestyle": style, "marker": marker, "markersize": 3}
            axes.plot(epochs, history[column], linewidth=1.6, **how)
    axes.set_ylabel(name, color=_COLORS["muted"])
    axes.grid(axis="y", color=_COLORS["line"], linewidth=0.6)
    axes.tick_params(length=0, labelcolor=_COLORS["ink"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_COLORS["line"])


def _mark(axes: "Axes", history: dict[str, list[float]], kept: int) -> None:
    """Write at the top what was reached in the epoch that is kept."""
    column = "val_accuracy" if "val_accuracy" in history else "accuracy"
    words = f"kept: epoch {kept + 1}, {column.replace('val_', 'validation ')} {history[column][kept]:.3f}"
    right = kept > len(history["epoch"]) / 2
    axes.annotate(
        words,
        (kept + 1, 1.04),
        xycoords=("data", "axes fraction"),
        ha="right" if right else "left",
        color=_COLORS["muted"],
        fontsize=9,
    )
