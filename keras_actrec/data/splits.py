"""Train, validation and test parts without leaks."""

from collections.abc import Sequence

import numpy as np

from keras_actrec._numbers import whole
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError


def split_manifest(
    manifest: Manifest,
    *,
    test_fold: str | int | None = None,
    test_fraction: float = 0.25,
    validation_fraction: float = 0.0,
    per_class: int | None = None,
    seed: int = 0,
) -> dict[str, tuple[Record, ...]]:
    """Splits a manifest into train, validation and test.

    Where the manifest has splits, they are used as they are. Else `test_fold` names the fold that is the test
    part, and the other folds are for training. Else the test part is drawn: `test_fraction` of every class as
    nearly as whole groups allow, and at least one unit of every class that has two or more; a unit is a
    group, or a record without one. **A group is never in two parts.** The validation part is drawn from
    the train part in the same way, unless the manifest's splits name one. Of what is left for training,
    `per_class` records of every class are drawn, to see what fewer would give. The draws depend on `seed`
    alone.

    Args:
        manifest: the set.
        test_fold: name or number of the fold to test on, for manifests with folds.
        test_fraction: share to draw for testing, between 0 and 1.
        validation_fraction: share of the train part to draw for validation; 0 draws none.
        per_class: at most so many records of a class in the train part; None leaves all.
        seed: seed of the draws.

    Returns:
        The records of `train`, `validation` and `test`, in the manifest's order.

    Raises:
        UserError: an unknown fold, a share out of range, only one class, a class that is missing from the
            train part, an empty test part, or a group in two parts.
    """
    if not 0 < test_fraction < 1:
        raise UserError(f"`test_fraction` must be between 0 and 1. Received: test_fraction={test_fraction}")
    if not 0 <= validation_fraction < 1:
        raise UserError(f"`validation_fraction` must be in [0, 1). Received: {validation_fraction}")
    if per_class is not None:
        per_class = whole("per_class", per_class)
    records = manifest.records
    if len(manifest.class_names) < 2:
        only = manifest.class_names[0]
        raise UserError(f"{manifest.root}: only one class, {only!r}; at least two are needed to train")
    validation: tuple[Record, ...] = ()
    if any(record.split for record in records):
        if test_fold is not None:
            raise UserError(
                f"`test_fold` goes with folds, but the manifest has splits, which decide; leave it out. "
                f"Received: test_fold={test_fold!r}"
            )
        train, validation, test = (
            tuple(record for record in records if record.split == split)
            for split in ("train", "validation", "test")
        )
    elif test_fold is not None:
        folds = sorted({record.fold for record in records if record.fold})
        if str(test_fold) not in folds:
            known = f"the folds are {', '.join(folds)}" if folds else "the manifest has no `fold` column"
            raise UserError(f"`test_fold` is not in the manifest: {known}. Received: test_fold={test_fold!r}")
        train = tuple(record for record in records if record.fold != str(test_fold))
        test = tuple(record for record in records if record.fold == str(test_fold))
    else:
        train, test = _draw(records, test_fraction, np.random.default_rng([seed, 0]))
    if validation_fraction and not validation:
        train, validation = _draw(train, validation_fraction, np.random.default_rng([seed, 1]))
        if not validation:
            raise UserError(
                "the validation part is empty: no group can leave the train part without taking a whole "
                "class along; use validation_fraction=0 or add groups"
            )
    parts = {"train": train, "validation": validation, "test": test}
    _check(parts, manifest.class_names)
    if per_class is not None:
        parts["train"] = _some(train, per_class, np.random.default_rng([seed, 2]))
    return parts


def _draw(
    records: Sequence[Record], share: float, rng: np.random.Generator
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Moves whole groups to a drawn part while that brings its count of every class nearer to the share."""
    grouped: dict[tuple[str, str | int], list[int]] = {}
    for index, record in enumerate(records):
        grouped.setdefault(("group", record.group) if record.group else ("record", index), []).append(index)
    units = list(grouped.values())
    num_classes = 1 + max((record.label for record in records), default=0)
    counts = np.zeros((len(units), num_classes))
    for unit, indices in enumerate(units):
        np.add.at(counts[unit], [records[index].label for index in indices], 1)
    total, num_units = counts.sum(axis=0), (counts > 0).sum(axis=0)
    target = np.where(num_units > 1, np.maximum(share * total, 1), 0)

    drawn, have = [], np.zeros(num_classes)
    order = rng.permutation(len(units))

    def distance(
        unit: int,
    ) -> float:  # of the drawn part from its target, with one unit more; it may not empty a class
        after = have + counts[unit]
        return np.inf if np.any((total > 0) & (after == total)) else np.sum((target - after) ** 2)

    for unit in order:
        if distance(unit) < np.sum((target - have) ** 2):
            drawn.append(unit)
            have += counts[unit]
    if not drawn and len(units):  # every unit is more than twice the share: the nearest one has to do
        nearest = min(order, key=distance)
        if np.isfinite(distance(nearest)):
            drawn.append(nearest)
    chosen = {index for unit in drawn for index in units[unit]}
    rest = tuple(record for index, record in enumerate(records) if index not in chosen)
    return rest, tuple(records[index] for index in sorted(chosen))


def _some(records: Sequence[Record], per_class: int, rng: np.random.Generator) -> tuple[Record, ...]:
    """At most so many records of each class, in their order."""
    kept: list[int] = []
    counts: dict[int, int] = {}
    for index in rng.permutation(len(records)):
        label = records[index].label
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= per_class:
            kept.append(index)
    return tuple(records[index] for index in sorted(kept))


def _check(parts: dict[str, tuple[Record, ...]], class_names: Sequence[str]) -> None:
    for name in ("train", "test"):
        if not parts[name]:
            raise UserError(f"the {name} part is empty; change the splits, the folds or `test_fraction`")
    absent = sorted(set(range(len(class_names))) - {record.label for record in parts["train"]})
    if absent:
        raise UserError(
            f"the train part has no video of {len(absent)} of {len(class_names)} classes, the first is "
            f"{class_names[absent[0]]!r}; add videos or change the splits"
        )
    part_of: dict[str, str] = {}
    for name, records in parts.items():
        for record in records:
            if record.group and part_of.setdefault(record.group, name) != name:
                raise UserError(
                    f"the group {record.group!r} is in {part_of[record.group]} and in {name}; "
                    "a group must stay in one part"
                )
