"""Tables in Markdown: the paper's numbers, labeled as the paper's, beside ours."""

import collections
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_actrec import evaluation, insight
from keras_actrec._files import read_json
from keras_actrec._text import printable
from keras_actrec.data import Audit, Manifest
from keras_actrec.errors import UserError
from keras_actrec.reproduction.paper import Cell, Element, Form, Training

_COUNTS = ("epochs", "updates")
_MOST = (10, 30)  # labels whose share of the videos is told


def of_runs(
    element: Element, form: Form, folders: Mapping[tuple[Training, int], Path], seeds: Sequence[int]
) -> str:
    """The table of a form of trainings, and how its numbers were made.

    Args:
        element: the element.
        form: one of its forms.
        folders: the run directory of each training with each seed.
        seeds: over which a cell is a mean.

    Raises:
        UserError: for a run that is not evaluated, or a class that its test does not have.
    """
    numbers = element.paper
    percent = numbers is not None and numbers.is_percent
    cells = {(cell.row, cell.column): cell for cell in element.cells(form)}
    printed = numbers.columns if numbers else []
    columns = list(dict.fromkeys([*printed, *(column for _, column in cells)]))
    rows = list(dict.fromkeys([*(numbers.rows if numbers else ()), *(row for row, _ in cells)]))
    ours = {column for _, column in cells}
    heads = [""]
    for column in columns:
        heads += [f"{column}, paper"] * (column in printed) + [f"{column}, here"] * (column in ours)
    lines = [_line(heads), _line("---" for _ in heads)]
    for row in rows:
        texts = [row]
        for column in columns:
            if column in printed and numbers is not None:
                texts.append(numbers.text(row, column))
            if column in ours:
                cell = cells.get((row, column))
                texts.append("" if cell is None else _ours(cell, folders, seeds, percent))
        lines.append(_line(texts))
    notes = ["What is headed paper is the paper's."]
    if len(seeds) > 1:
        notes.append(f"Here: the mean of {len(seeds)} seeds ± its 95 % interval over them (Student).")
    return "\n".join([*lines, "", " ".join([*notes, made_of(folders.values())])])


def _ours(
    cell: Cell, folders: Mapping[tuple[Training, int], Path], seeds: Sequence[int], percent: bool
) -> str:
    """A cell as text: mean over the folds, then over the seeds."""
    each = [
        statistics.mean(_metric(folders[training, seed], cell.metric) for training in cell.trainings)
        for seed in seeds
    ]
    share = cell.metric not in _COUNTS
    values = evaluation.student_interval(each) if len(each) > 1 else each
    unit = 100 if percent and share else 1
    places = 0 if not share else 1 if percent else 3
    return " ± ".join(f"{unit * value:.{places}f}" for value in values)


def _metric(folder: Path, metric: str) -> float:
    """A number of a run: see `Form`."""
    if metric in _COUNTS:
        return insight.converged(folder)[_COUNTS.index(metric)]
    scores = read_json(folder / "test.json", "evaluate the run first")
    kind, _, name = metric.partition(" ")
    if kind == "error":
        return 1 - float(scores["top1"])
    if kind != "ap":
        return float(scores[metric])
    if name not in scores["class_names"]:
        raise UserError(f"{folder / 'test.json'} has no class {name!r}: is it another set?")
    return float(scores["average_precision"][scores["class_names"].index(name)] or 0)


def made_of(folders: Iterable[Path]) -> str:
    """With what the runs were made: data found, backend, commit and machine."""
    records = [read_json(folder / "run.json", "train the run first") for folder in folders]

    def listed(texts: Iterable[Any]) -> str:
        return "; ".join(sorted({str(text or "unknown") for text in texts}))

    counts = [(each["data"]["found"], each["data"]["official"]) for each in records]
    of = " of the official number" if any(official for _, official in counts) else ""
    found = listed(f"{count} of {official or 'unknown'}" if of else count for count, official in counts)
    backends = listed(f"{each['backend']} {each['versions'][each['backend']]}" for each in records)
    return (
        f"Files found{of}: {found}. {backends}, commit "
        f"{listed(each['commit'] for each in records)}, {listed(each['machine'] for each in records)}."
    )


def of_audit(element: Element, audit: Audit, manifest: Manifest) -> str:
    """A set in numbers.

    Args:
        element: the element, with the paper's numbers.
        audit: of all files.
        manifest: with the parts.
    """
    parts = collections.Counter(record.split for record in manifest.records)
    good = [entry for entry in audit.files.values() if entry["status"] == "ok"]

    def usual(name: str) -> Any:
        values = collections.Counter(entry[name] for entry in good if entry[name])
        return values.most_common(1)[0][0] if values else ""

    largest = sorted(audit.classes.values(), reverse=True)
    ours = {
        "videos": audit.found,
        **{f"part {part}": count for part, count in sorted(parts.items()) if part},
        "labels": len(manifest.class_names),
        **{f"{n} most frequent labels, %": _percent(largest[:n], largest) for n in _MOST if any(largest)},
        "videos a label": round(audit.found / len(manifest.class_names)),
        "frames a second": usual("fps"),
        "height": usual("height"),
    }
    numbers = element.paper
    heads = ["", "in the paper", "here"]
    lines = [_line(heads), _line("---" for _ in heads)]
    rows = dict.fromkeys([*(numbers.rows if numbers else ()), *ours])
    for row in rows:
        printed = numbers.text(row, numbers.columns[0]) if numbers else ""
        here = ours.get(row, "")
        lines.append(_line([row, printed, here if here == "" else f"{here:,}".removesuffix(".0")]))
    counts = ", ".join(f"{count} {status}" for status, count in audit.counts.items())
    return "\n".join([*lines, "", f"Files: {counts}."])


def _percent(some: Sequence[int], every: Sequence[int]) -> float:
    return round(100 * sum(some) / sum(every), 1)


def of_network(element: Element, model: keras.Model) -> str:
    """What the layers of a model give, beside what the paper prints."""
    numbers = element.paper
    lines = [_line(["", "in the paper"]), _line(["---"] * 2)]
    for row in numbers.rows if numbers else ():
        lines.append(_line([row, numbers.text(row, numbers.columns[0]) if numbers else ""]))
    heads = ["layer here", "output", "parameters"]
    lines += ["", _line(heads), _line("---" for _ in heads)]
    for layer in model.layers:
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(layer.output)]
        texts = [" x ".join("?" if size is None else str(size) for size in shape[1:]) for shape in shapes]
        lines.append(_line([layer.name, "; ".join(texts), f"{layer.count_params():,}"]))
    return "\n".join(lines)


def _line(texts: Iterable[object]) -> str:
    return f"| {' | '.join(printable(text).replace('|', '/') for text in texts)} |"
