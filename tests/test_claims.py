"""What CHANGELOG.md, README.md and the cards claim to be there is counted, and is there."""

import re
from pathlib import Path

import pytest

from keras_actrec import training, tuning, zoo
from keras_actrec.data.datasets import list_datasets
from keras_actrec.evaluation.protocols import PROTOCOLS
from keras_actrec.zoo.hman import ATTENTIONS

pytestmark = pytest.mark.no_backend

ROOT = Path(__file__).parents[1]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "CHANGELOG.md",
        "README.md",
        "tuning/README.md",
        "docs/search.md",
        "docs/videos.md",
        "docs/skeletons.md",
    )
}
WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
NUMBERS = {word: number for number, word in enumerate(f"{WORDS} seventeen eighteen nineteen twenty".split())}
TUNING = ROOT / "tuning"
RUN = {trials.relative_to(TUNING).parts[0] for trials in TUNING.rglob("trials.csv")}
OWN = {"csv", "features", "folder", "poses"}  # layouts of ours and not of a set
COUNTED = {
    "recipes": len(training.list_recipes()),
    "readers": len(set(list_datasets()) - OWN),
    "studies": len(tuning.list_studies()),
    "studies of STRN": sum(name.startswith("strn_") for name in RUN),
}
CLAIM = re.compile(rf"\b(\d+|{'|'.join(NUMBERS)}) (recipes|readers|studies of STRN|studies)\b", re.I)


def claims(text):
    """Pairs of what is counted, and how many there are said to be."""
    return [(kind, NUMBERS.get(number.lower()) or int(number)) for number, kind in CLAIM.findall(text)]


@pytest.mark.parametrize("page", PAGES)
def test_as_many_are_there_as_a_page_says(page):
    for kind, number in claims(PAGES[page]):
        assert number == COUNTED[kind], f"{number} {kind}"


def test_all_kinds_are_claimed_and_a_wrong_number_is_found():
    assert {kind for page in PAGES.values() for kind, _ in claims(page)} == set(COUNTED)
    assert claims("35 recipes: every experiment, Six studies of STRN") == [
        ("recipes", 35),
        ("studies of STRN", 6),
    ]


def test_the_guide_says_how_many_studies_come_along_and_have_been_run():
    found = re.search(r"(\w+) come along, (\w+) of them run", PAGES["docs/search.md"])
    assert [NUMBERS[word.lower()] for word in found.groups()] == [COUNTED["studies"], len(RUN)]


def test_the_list_of_studies_has_each_and_links_the_tables_of_those_that_were_run():
    rows = re.findall(r"^\| \[(\w+)\]\(\w+/study\.toml\) \|.*\| (.*)\|$", PAGES["tuning/README.md"], re.M)
    assert sorted(name for name, _ in rows) == sorted(tuning.list_studies())
    assert {name for name, link in rows if link.strip()} == RUN


def test_each_study_has_the_papers_column_and_the_changelog_names_its_tables():
    line = re.search(r"Each study has the paper's column: ([^.]*(?:\.\d[^.]*)*)\.", PAGES["CHANGELOG.md"])[1]
    for name in tuning.list_studies():
        study = tuning.read_study(name)
        assert study.table.paper, name
        paper = next(word for word in ("HM-AN", "EleAttG", "thesis", "SA-GSM") if word in study.paper)
        said = (
            line[line.index(paper) :].split(", EleAttG")[0] if paper == "HM-AN" else line[line.index(paper) :]
        )
        for table in re.findall(r"table[s]? ([\d.]+)", study.paper):
            number = table.rstrip(".")
            if paper == "thesis":
                assert 5.3 <= float(number) <= 5.7
            else:
                assert re.search(rf"\b{number}\b", said), (name, number)


def test_every_way_to_test_of_the_papers_is_on_a_card():
    cards = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("zoo/*/README.md"))
    assert set(re.findall(r"--protocol (\w+)", cards)) == set(PROTOCOLS)


def test_each_equation_of_hm_an_is_where_a_docstring_says():
    found = set()
    for path in (ROOT / "keras_actrec").rglob("*.py"):
        for first, last in re.findall(r"\(HM-AN, eq\. (\d+)(?:-(\d+))?\)", path.read_text(encoding="utf-8")):
            found |= set(range(int(first), int(last or first) + 1))
    assert found == set(range(1, 23))


def test_each_model_has_a_recipe_for_data_of_ones_own():
    assert {f"{name}/own" for name in zoo.list_models()} <= set(training.list_recipes())


def test_the_guides_list_the_sets_that_are_read():
    found = set(re.findall(r"`(\w+)`", PAGES["docs/videos.md"] + PAGES["docs/skeletons.md"]))
    assert set(list_datasets()) - {"csv", "folder"} <= found


@pytest.mark.parametrize("name", ["ucf_sports", "olympic_sports", "hmdb51"])
def test_a_recipe_of_four_attentions_has_all_of_them(name):
    card = (ROOT / "zoo/hman/README.md").read_text(encoding="utf-8")
    assert re.search(rf"\[{name}\.toml\].*four attentions by `--set`", card) and len(ATTENTIONS) == 4
    text = (ROOT / f"zoo/hman/{name}.toml").read_text(encoding="utf-8")
    changed = re.findall(r"^#   --set model\.attention=(\w+)", text, re.M)
    own = training.read_recipe(f"hman/{name}").model.arguments["attention"]
    assert sorted([own, *changed]) == sorted(ATTENTIONS)


def test_strns_recipe_has_the_rows_of_the_thesis_as_its_card_says():
    card = (ROOT / "zoo/strn/README.md").read_text(encoding="utf-8")
    assert "UCF101, the best row; the others by `--set`" in card
    text = (ROOT / "zoo/strn/ucf101.toml").read_text(encoding="utf-8")
    found = [
        float(each)
        for line in re.findall(r"^#   --set .*", text, re.M)
        for each in re.findall(r" (\.\d{3})", line)
    ]
    # Error rates of tables 5.3 to 5.8 but for the best row, .197.
    learning, placement, connection = [0.233, 0.222], [0.265, 0.234, 0.231], [0.219, 0.210]
    sampling, context, splits = [0.195, 0.196, 0.213], [0.194, 0.205, 0.209], [0.205, 0.192]
    assert sorted(found) == sorted(learning + placement + connection + sampling + context + splits)
