"""Classes that a mirror turns into each other, by their names, and recipes that mirror them."""

import pytest

from keras_actrec.errors import UserError
from keras_actrec.training import parse_recipe
from keras_actrec.training.overrides import read_overrides
from keras_actrec.training.prepare import prepare, read_data
from keras_actrec.training.sides import check_sides, mirrored_classes

pytestmark = pytest.mark.no_backend


@pytest.mark.parametrize(
    "one, other",
    [
        ("turn left", "turn right"),
        ("turn_left", "turn_right"),
        ("TurnLeft", "TurnRight"),
        ("LEFT", "RIGHT"),
        ("Pulling something from left to right", "Pulling something from right to left"),
        ("kick-l", "kick-r"),
        ("wave L 2", "wave R 2"),
        ("rotate clockwise", "rotate counterclockwise"),
        ("rotate clockwise", "rotate anti-clockwise"),
        ("Rotate counter clockwise", "rotate Clockwise"),
        ("spin_cw", "spin_ccw"),
        ("left arm, clockwise", "right arm, counter-clockwise"),
    ],
)
def test_names_that_differ_in_sides_alone_are_a_pair(one, other):
    names = ["jump", one, "sit", other]
    assert mirrored_classes(names) == [[1, 3]]
    assert mirrored_classes([other, one]) == [[0, 1]]


@pytest.mark.parametrize(
    "names",
    [
        ["jump", "sit"],
        ["turn left", "turn around"],
        ["left arm, clockwise", "right arm, clockwise"],  # the mirror of neither
        ["l", "r", "L1", "R"],  # letters
        ["upright", "upleft by"],
        ["step 1", "step 2"],
        ["wave left right", "jump"],
        ["bright", "blight"],
        ["走る", "跳ぶ", "..."],
    ],
)
def test_other_names_are_none(names):
    assert mirrored_classes(names) == []


def test_a_name_has_one_partner_whatever_its_spelling():
    names = ["turn left", "Turn Left", "turn right", "turn right!"]
    assert mirrored_classes(names) == [[0, 2]]


NAMES = ("jump", "kick left", "kick right", "wave l", "wave r")


@pytest.mark.parametrize(
    "clip, message",
    [
        ({"flip": True}, "set clip.flip=false, or clip.swap=[[1, 2], [3, 4]], which swaps their labels"),
        ({"flip": True, "swap": [[2, 1]]}, "'wave l' and 'wave r' into each other: set clip.flip=false"),
        ({"flip": True, "swap": [[2, 1], [0, 3]]}, "or clip.swap=[[2, 1], [3, 4]]"),
        ({"num_crops": 10}, "half of 10 crops are mirrored: set clip.num_crops=1 or 3"),
        ({"num_crops": 2, "crop": "none"}, "half of 2 crops are mirrored"),
        ({"flip": True, "swap": [[2, 1], [3, 4]]}, None),
        ({}, None),
        ({"num_crops": 3}, None),
    ],
)
def test_clips_of_such_classes_are_not_mirrored_under_their_own_label(clip, message):
    recipe = parse_recipe({"model": {"name": "gsm"}, "clip": clip})
    check_sides(recipe, ("jump", "sit", "left"))
    if message is None:
        return check_sides(recipe, NAMES)
    with pytest.raises(UserError) as caught:
        check_sides(recipe, NAMES)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    advised = str(caught.value).rpartition(": set ")[2].removesuffix(", which swaps their labels")
    key = advised.partition("=")[0]
    for advice in advised.split(", or " if "swap" in advised else " or "):
        change = read_overrides([advice if "=" in advice else f"{key}={advice}"], "")[0]
        check_sides(
            parse_recipe({"model": {"name": "gsm"}, "clip": clip | {change.key: change.value}}), NAMES
        )


def test_joints_of_such_classes_are_not_mirrored():
    values = {"model": {"name": "eleatt_rnn"}, "data": {"dataset": "poses"}, "skeleton": {"frames": 9}}
    check_sides(parse_recipe(values), NAMES)
    values["skeleton"]["mirror"] = [[1, 2]]
    with pytest.raises(UserError, match="'kick left' and 'kick right' into each other: leave") as caught:
        check_sides(parse_recipe(values), NAMES)
    assert str(caught.value).endswith("skeleton.mirror out, or set skeleton.swap=[[1, 2], [3, 4]]")
    values["skeleton"]["swap"] = [[1, 2], [3, 4]]
    check_sides(parse_recipe(values), NAMES)
    del values["skeleton"]["mirror"]
    check_sides(parse_recipe(values), NAMES)


def test_a_run_is_refused_before_it_reads_a_file(tmp_path):
    for name in ("go left", "go right"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "videos" / name / f"{number}.mp4").write_bytes(b"no video")
    recipe = parse_recipe({"model": {"name": "gsm"}, "clip": {"flip": True}})
    with pytest.raises(UserError, match=r"or clip.swap=\[\[0, 1\]\], which swaps"):
        prepare(recipe, *read_data(recipe.data, tmp_path / "videos"), out=tmp_path, progress=print)
