from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from keras_actrec.data import Manifest, Record, split_manifest
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

PARTS = ("train", "validation", "test")


def manifest(*rows):
    """From rows of (label, split, group, fold), which may stop early."""
    records = tuple(Record(Path(f"{i}.mp4"), f"{i}.mp4", *row) for i, row in enumerate(rows))
    classes = tuple("abcdefgh"[: 1 + max(row[0] for row in rows)])
    return Manifest(records, classes, Path("."))


def paths(records):
    return [record.path for record in records]


def per_class(records):
    return dict(sorted(Counter(record.label for record in records).items()))


def test_the_manifests_own_splits_are_used_as_they_are():
    parts = split_manifest(
        manifest((0, "train"), (1, "train"), (0, "validation"), (1, "test"), (0, "test")),
        validation_fraction=0.5,
    )
    assert list(parts) == list(PARTS)
    assert [paths(parts[name]) for name in PARTS] == [["0.mp4", "1.mp4"], ["2.mp4"], ["3.mp4", "4.mp4"]]


def test_validation_is_drawn_from_train_where_the_splits_name_none():
    parts = split_manifest(
        manifest(*[(i % 2, "train") for i in range(20)], (0, "test")), validation_fraction=0.2
    )
    assert per_class(parts["validation"]) == {0: 2, 1: 2} and per_class(parts["train"]) == {0: 8, 1: 8}
    assert paths(parts["test"]) == ["20.mp4"]


@pytest.mark.parametrize("fold", [2, "2"])
def test_a_fold_is_the_test_part_and_the_others_are_for_training(fold):
    parts = split_manifest(manifest(*[(i % 2, "", "", str(1 + i // 2)) for i in range(6)]), test_fold=fold)
    assert paths(parts["test"]) == ["2.mp4", "3.mp4"]
    assert paths(parts["train"]) == ["0.mp4", "1.mp4", "4.mp4", "5.mp4"] and parts["validation"] == ()


def test_a_drawn_split_keeps_the_share_of_every_class():
    rows = [(0,)] * 40 + [(1,)] * 8 + [(2,)] * 2
    parts = split_manifest(manifest(*rows), test_fraction=0.25, validation_fraction=0.2)
    assert per_class(parts["test"]) == {0: 10, 1: 2, 2: 1}
    assert per_class(parts["validation"]) == {0: 6, 1: 1}  # of 30 and 6; the last clip of class 2 stays
    assert per_class(parts["train"]) == {0: 24, 1: 5, 2: 1}


def test_every_record_stands_in_one_part_in_the_manifests_order():
    whole = manifest(*[(i % 3,) for i in range(30)])
    parts = split_manifest(whole, validation_fraction=0.3)
    place = {record: i for i, record in enumerate(whole.records)}
    for records in parts.values():
        assert [place[record] for record in records] == sorted(place[record] for record in records)
    assert sorted(place[r] for records in parts.values() for r in records) == list(range(30))


def test_the_draw_depends_on_the_seed_alone():
    whole = manifest(*[(i % 2,) for i in range(40)])
    assert split_manifest(whole, seed=1) == split_manifest(whole, seed=1)
    assert len({tuple(paths(split_manifest(whole, seed=seed)["test"])) for seed in range(5)}) == 5


def test_every_record_can_be_drawn():
    whole = manifest(*[(i % 2,) for i in range(8)])
    drawn = Counter(path for seed in range(200) for path in paths(split_manifest(whole, seed=seed)["test"]))
    # 1 of 4 is drawn from each class: 50 of 200 expected, standard deviation 6.1
    assert len(drawn) == 8 and all(25 < count < 75 for count in drawn.values())


def test_a_group_never_stands_in_two_parts():
    rng = np.random.default_rng(0)
    for seed in range(30):
        groups = rng.integers(0, 12, 90)
        whole = manifest(*[(int(rng.integers(0, 3)), "", f"g{group}") for group in groups])
        parts = split_manifest(whole, test_fraction=0.3, validation_fraction=0.2, seed=seed)
        parts_of = {}
        for name, records in parts.items():
            for record in records:
                parts_of.setdefault(record.group, set()).add(name)
        assert all(len(names) == 1 for names in parts_of.values())
        assert 0.15 < len(parts["test"]) / 90 < 0.45


def test_twins_are_drawn_together_and_both_classes_keep_their_share():
    whole = manifest(*[(i % 2, "", f"twin{i // 2}") for i in range(40)])
    parts = split_manifest(whole, test_fraction=0.25)
    assert per_class(parts["test"]) == {0: 5, 1: 5}
    assert {r.group for r in parts["test"]}.isdisjoint(r.group for r in parts["train"])


def test_two_groups_are_enough_to_split():
    parts = split_manifest(manifest(*[(i % 2, "", "AB"[i // 6]) for i in range(12)]), test_fraction=0.1)
    assert len(parts["test"]) == len(parts["train"]) == 6


def test_of_each_class_so_many_are_left_for_training_and_the_other_parts_stay():
    rows = [(i % 3, "", "", str(i // 3 % 2)) for i in range(60)] + [(3, "", "", "1"), (3, "", "", "0")]
    whole = split_manifest(manifest(*rows), test_fold=0, validation_fraction=0.2)
    few = split_manifest(manifest(*rows), test_fold=0, validation_fraction=0.2, per_class=4)
    assert per_class(few["train"]) == {0: 4, 1: 4, 2: 4, 3: 1}
    assert set(few["train"]) < set(whole["train"]) and few["train"] == tuple(sorted(few["train"], key=number))
    assert (few["validation"], few["test"]) == (whole["validation"], whole["test"])
    other = split_manifest(manifest(*rows), test_fold=0, validation_fraction=0.2, per_class=4, seed=5)
    assert other["test"] == few["test"] and other["train"] != few["train"]


def number(record):
    return int(record.path.removesuffix(".mp4"))


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (
            [(0,), (1,)],
            {"test_fraction": 0},
            "`test_fraction` must be between 0 and 1. Received: test_fraction=0",
        ),
        ([(0,), (1,)], {"validation_fraction": 1}, "`validation_fraction` must be in"),
        (
            [(0,), (1,)],
            {"per_class": 0},
            "`per_class` must be a whole number from 1 to 65536. Received: per_class=0",
        ),
        ([(0, "", "", "x"), (1, "", "", "y")], {"test_fold": 3}, "the folds are x, y. Received: test_fold=3"),
        ([(0,), (1,)], {"test_fold": 3}, "the manifest has no `fold` column"),
        ([(0, "train"), (1, "test")], {"test_fold": 3}, "`test_fold` goes with folds"),
        ([(0, "train"), (1, "train")], {}, "the test part is empty"),
        ([(0, "test"), (1, "test")], {}, "the train part is empty"),
        ([(0, "train"), (1, "test")], {}, "no video of 1 of 2 classes, the first is 'b'"),
        (
            [(0, "", "", "1"), (1, "", "", "2")],
            {"test_fold": 1},
            "no video of 1 of 2 classes, the first is 'a'",
        ),
        ([(0,), (1,)], {}, "the test part is empty"),
        (
            [(0, "", "g", "1"), (1, "", "h", "1"), (0, "", "g", "2"), (1, "", "i", "2")],
            {"test_fold": 1},
            "the group 'g' is in train and in test",
        ),
        (
            [(0, "train"), (1, "train"), (1, "test")],
            {"validation_fraction": 0.5},
            "the validation part is empty",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(rows, arguments, message):
    with pytest.raises(UserError, match=message):
        split_manifest(manifest(*rows), **arguments)
