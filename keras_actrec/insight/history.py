"""The history of a run as a picture."""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_actrec._files import read_csv, replacing
from keras_actrec._fonts import lettering
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.evaluation.results import read_record
from keras_actrec.insight import _figures
from keras_actrec.insight._figures import COLORS as _COLORS
from keras_actrec.insight._figures import LINES
from keras_actrec.training.tables import counted

if TYPE_CHECKING:  # the extra viz
    from matplotlib.axes import Axes

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
    history = read_history(folder / "history.csv")
    record = read_record(folder)
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


def draw_curves(
    runs: Mapping[str, PathLike], path: PathLike, *, columns: Sequence[str] = ("loss",), title: str = ""
) -> Path:
    """Draw columns of the histories of several runs on one axis each, a color a run.

    What begins with `val_` is of the validation part and goes into the panel of the same name, dashed.

    Args:
        runs: what each run is called, and its directory.
        path: the picture.
        columns: of the histories, such as `("loss", "val_loss")`.
        title: above it.

    Raises:
        UserError: no such column, or no history, in a directory; matplotlib is missing.
    """
    histories = {name: read_history(Path(run) / "history.csv") for name, run in runs.items()}
    for name, history in histories.items():
        missing = [column for column in columns if column not in history]
        if missing:
            raise UserError(
                f"{Path(runs[name]) / 'history.csv'} has no column {missing[0]!r}: "
                f"it has {', '.join(history)}; val_... needs data.validation_fraction"
            )
    panels = list(dict.fromkeys(column.removeprefix("val_") for column in columns))
    figure = _figures.new_figure(7, 1 + 3 * len(panels))
    names, look = _figures.words(histories)
    for axes, panel in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        for number, (history, name) in enumerate(zip(histories.values(), names, strict=True)):
            for column in (each for each in columns if each.removeprefix("val_") == panel):
                validates = column != panel
                axes.plot(
                    [epoch + 1 for epoch in history["epoch"]],
                    history[column],
                    label=f"{name}, validation" if validates else name,
                    color=LINES[number % len(LINES)],
                    linestyle="--" if validates else "-",
                    marker="o" if len(history["epoch"]) <= _FEW else "",
                    markersize=3,
                    linewidth=1.6,
                )
        _figures.plain(axes, "epoch", panel)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        legend = axes.legend(frameon=False, labelcolor=_COLORS["ink"])
        for text in legend.get_texts():
            text.set(**look)
    _figures.head(figure, title)
    return _figures.save(figure, path)


def converged(run: PathLike, share: float = 0.95) -> tuple[int, int]:
    """Epochs and updates of the weights after which the loss had fallen by most of what it fell in all.

    Args:
        run: the run directory.
        share: of the fall from the first epoch's loss to the lowest one.

    Returns:
        Number of epochs, at least 1, and of updates in them, where a small batch at the end of an epoch
        counts.
    """
    folder = Path(run)
    losses = read_history(folder / "history.csv")["loss"]
    record = read_record(folder)
    last = losses[0] - share * (losses[0] - min(losses))
    epochs = 1 + next(epoch for epoch, loss in enumerate(losses) if loss <= last)
    try:
        train, videos = record["recipe"]["train"], record["data"]["parts"]["train"]
        batches = math.ceil(videos / train["batch_size"])
        return epochs, epochs * batches // counted(train.get("accumulate", 1), batches)
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'run.json'} is not that of a run: train it again") from error


def read_history(file: Path) -> dict[str, list[float]]:
    """The columns of a history.

    Raises:
        UserError: for another file, or none.
    """
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
