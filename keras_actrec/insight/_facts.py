"""How models were made and tested, in words: recipe, data, versions, machine."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_actrec._types import PathLike
from keras_actrec.evaluation.results import columns_of

if TYPE_CHECKING:
    from keras_actrec.evaluation import Evaluation


def made(record: Mapping[str, Any]) -> dict[str, str]:
    """How a model was trained, by what each thing is called, from what `train` says of a run.

    Empty of a model that `train` did not make.
    """
    if not {"recipe", "data", "versions"} <= record.keys():
        return {}
    recipe, data, versions = columns_of(record), record["data"], record["versions"]
    official = f" of {data['official']} official" if data["official"] else ""
    others = [f"{name} {version}" for name, version in versions.items() if name != record["backend"]]
    start = record.get("start")
    return {
        "recipe": _placed(recipe["recipe"]),
        "changed": recipe["set"],
        "seed": recipe["seed"],
        "fold or split": recipe["fold"],
        "started from": _placed(start["file"]) if start else "",
        "data": f"{data['found']} files found{official}, hash {data['sha256'][:12]}",
        "parts": ", ".join(f"{count} {part}" for part, count in data["parts"].items()),
        "left out in training": _files(below(data["skipped"], record.get("root", ""))),
        "epochs": _epochs(record),
        "backend": f"{record['backend']} {versions[record['backend']]}",
        "versions": ", ".join(others),
        "commit": record["commit"] or "",
        "machine": record["machine"],
        "took": f"{record['seconds']:.0f} s" if "seconds" in record else "",
    }


def tested(evaluation: "Evaluation") -> dict[str, str]:
    """How a model was tested."""
    of = f" of {evaluation.official} official" if evaluation.official else ""
    views = "" if evaluation.views in (None, evaluation.videos) else f", {evaluation.views} views"
    return {
        "tested on": f"part {evaluation.part}, {evaluation.videos} clips{of}{views}",
        "protocol": evaluation.protocol,
        "skipped in the test": _files(evaluation.skipped),
    }


def below(lines: Iterable[str], data: PathLike) -> list[str]:
    """Lines that begin with a file, without the folder of the data: named as in its tables."""
    folder = Path(data).parent if Path(data).is_file() else Path(data)
    return [line.removeprefix(f"{folder}{os.sep}") for line in lines]


def _placed(name: str) -> str:
    """A name or a path; where somebody's folders are is nothing for a page, but for the last one."""
    return "/".join(Path(name).parts[-2:]) if Path(name).is_absolute() else name


def _files(lines: Sequence[str]) -> str:
    """Files that could not be read, or as many of them as fit, a line each."""
    more = [f"and {len(lines) - 3} more"] if len(lines) > 3 else []
    return "\n".join([*lines[:3], *more])


def _epochs(record: Mapping[str, Any]) -> str:
    asked, kept = record["recipe"]["train"]["epochs"], record.get("kept_epoch")
    return f"{asked}" if kept is None else f"{asked}; epoch {kept + 1} is kept"
