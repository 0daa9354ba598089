"""The list of the papers' elements: what it names is there, its states are the cards', and it is whole."""

import ast
import inspect
import operator
import re
import shlex
from pathlib import Path

import pytest

import keras_actrec
from keras_actrec import reproduction, training, tuning, zoo
from keras_actrec.evaluation import PROTOCOLS

pytestmark = pytest.mark.no_backend

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "tuning" / "papers" / "ELEMENTS.md").read_text(encoding="utf-8")
PAPERS = {"HM-AN": "hman", "STRN": "strn", "EleAttG": "eleattg", "SA-GSM": "sa_gsm"}
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
ROWS = {
    paper: [tuple(line.strip("| ").split(" | ")) for line in text.splitlines() if "`" in line and "|" in line]
    for paper, text in SECTIONS.items()
}
WHERE = {
    f"{element}: {place}": place
    for rows in ROWS.values()
    for element, where, _ in rows
    for place in re.findall(r"`([^`]+)`", where)
}


def differences(card):
    """What stands on the left in a card's table of differences."""
    text = card.read_text(encoding="utf-8").partition("## Where it differs")[2].partition("\n## ")[0]
    table = text.lstrip("\n").partition("\n|")[2].partition("\n\n")[0]  # the first one
    return [line.strip("| ").split(" | ")[0] for line in table.splitlines()[2:]]


def cards(paper):
    """The cards that a section links."""
    return [ROOT / "zoo" / name / "README.md" for name in re.findall(r"\.\./zoo/(\w+)/", SECTIONS[paper])]


def check_texts(documented, values):
    """Texts among arguments are ones that the documentation has."""
    for value in values:
        if isinstance(value, str):
            assert re.search(rf'["`]{re.escape(value)}["`]', inspect.getdoc(documented)), value


def check_command(words):
    """A command's recipe, study, protocol or element is there, and takes the changes."""
    command, name, *options = words
    changes = [value for option, value in zip(options[::2], options[1::2], strict=True) if option == "--set"]
    if command == "train":
        model = training.read_recipe(name, changes).model
        given = [change.partition("=")[0].removeprefix("model.") for change in changes]
        values = [value for key, value in model.arguments.items() if key in given and key != "backbone"]
        check_texts(getattr(zoo, model.name), values)
    elif command == "tune":
        tuning.read_study(name)
    elif command == "evaluate":
        assert options[0] == "--protocol" and options[1] in PROTOCOLS
    else:
        assert command == "reproduce", command
        reproduction.find_element(name)


@pytest.mark.parametrize("place", WHERE.values(), ids=WHERE)
def test_what_the_list_names_is_there(place):
    if place.endswith(".py"):
        assert (ROOT / place).is_file()
        return
    if " " in place and "(" not in place.partition(" ")[0]:
        check_command(shlex.split(place))
        return
    call = ast.parse(place, mode="eval").body
    function = call.func if isinstance(call, ast.Call) else call
    name = ast.unparse(function)
    found = operator.attrgetter(name)(keras_actrec)
    package, _, short = name.partition(".")
    assert short in getattr(keras_actrec, package).__all__
    if isinstance(call, ast.Call):
        positional = [ast.literal_eval(argument) for argument in call.args]
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
        signature = inspect.signature(found)
        assert named.keys() <= signature.parameters.keys()
        signature.bind(*positional, **named)
        check_texts(found, [*positional, *named.values()])


@pytest.mark.parametrize("paper", PAPERS)
def test_a_state_is_works_or_a_row_of_a_card(paper):
    known = {row for card in cards(paper) for row in differences(card)}
    for element, _, state in ROWS[paper]:
        kind, _, row = state.partition(": ")
        if state != "works":
            assert kind in ("differs", "cannot be"), element
            assert row in known, (element, row)


@pytest.mark.parametrize("paper", PAPERS)
def test_each_table_and_figure_and_each_difference_is_in_the_list(paper):
    listed = set(re.findall(r"`reproduce (\S+)`", SECTIONS[paper]))
    assert listed == {f"{PAPERS[paper]}/{name}" for name in reproduction.read_paper(PAPERS[paper]).elements}
    states = {state.partition(": ")[2] for _, _, state in ROWS[paper]}
    assert set(differences(cards(paper)[0])) <= states


def test_equations_protocols_and_studies_are_all_in_the_list():
    equations = set()
    for first, join, last in re.findall(r"^\| eq\. (\d+)(?: (and|to) (\d+))?:", SECTIONS["HM-AN"], re.M):
        numbers = range(int(first), int(last) + 1) if join == "to" else {int(first), int(last or first)}
        equations |= set(numbers)
    assert equations == set(range(1, 23))
    assert set(re.findall(r"--protocol (\w+)", PAGE)) == set(PROTOCOLS)
    assert set(re.findall(r"`tune (\w+)`", PAGE)) == set(tuning.list_studies())


def test_the_elements_are_counted():
    states = [state.partition(": ")[0] for paper in PAPERS for _, _, state in ROWS[paper]]
    line = re.search(r"(\d+) elements: (\d+) as printed, (\d+) .*?, (\d+) .*", PAGE)
    kinds = [states.count(kind) for kind in ("works", "differs", "cannot be")]
    assert [int(number) for number in line.groups()] == [len(states), *kinds]


@pytest.mark.parametrize(
    "place",
    [
        "layers.NoSuchLayer()",
        "layers.GateShift(shufle=False)",
        'zoo.hman(51, attention="gumbel_softmax")',
        "train hman/hmdb52",
        "train hman/hmdb51 --set model.attention=sooft",
        "train hman/hmdb51 --set train.epoch=1",
        "evaluate MODEL --protocol hman_sequence",
        "tune hman_framse",
        "reproduce hman/table9",
        "tests/test_layers_hm_rm.py",
    ],
)
def test_a_wrong_place_is_found(place):
    with pytest.raises((AssertionError, AttributeError, keras_actrec.UserError)):
        test_what_the_list_names_is_there(place)
