"""The papers' claims beside what stands here: the page is the program's, and verdicts follow the rows."""

import re
from pathlib import Path

import pytest

from keras_actrec import reproduction
from keras_actrec.reproduction import claims, standing
from keras_actrec.reproduction.claims import HOLDS, NOT, OPEN
from keras_actrec.reproduction.paper import Claim, Evidence, Part
from keras_actrec.tuning import find_study

pytestmark = pytest.mark.no_backend

PAGE = Path(__file__).parents[1] / "tuning/papers/CLAIMS.md"
GATED, PLAIN = Part(recipe="eleatt_rnn/utkinect"), Part(recipe="stacked_rnn/utkinect")


def block():
    return re.search("<!-- claims:begin -->\n(.*?)\n<!-- claims:end -->", PAGE.read_text("utf-8"), re.S)[1]


def test_the_page_is_what_the_program_writes_from_results():
    assert block() == claims.claims_page(), "run python benchmarks/papers.py"


def test_every_claim_stands_on_the_page_with_the_papers_numbers_or_a_fact():
    page = block()
    for name in reproduction.list_papers():
        paper = reproduction.read_paper(name)
        assert paper.claims
        for claim in paper.claims:
            assert claim.says in page
            assert claim.fact in page
            assert claims.printed(paper, claim) or claim.fact, claim.says


@pytest.fixture
def measured(monkeypatch):
    """A function that puts top-1 of seeds in the place of all results."""

    def put(gated, plain):
        rows = {"eleatt_rnn/utkinect": gated, "stacked_rnn/utkinect": plain}
        found = {(recipe, (), ""): values for recipe, values in rows.items() if values}
        monkeypatch.setattr(standing, "_results", lambda: found)

    return put


def findings():
    paper = reproduction.read_paper("eleattg")
    claim = Claim(says="it helps", element="figure3", also=[Evidence(on="joints", better=GATED, worse=PLAIN)])
    return claims.findings(paper, claim)


@pytest.mark.parametrize(
    ("gated", "plain", "verdict", "words"),
    [  # t of .975 with 2 degrees of freedom is 4.303
        ((0.9, 0.8, 0.85), (0.8, 0.7, 0.75), HOLDS, "85.0 against 75.0: +10.0 (+10.0 to +10.0), 3 seeds"),
        ((0.7, 0.71, 0.72), (0.9, 0.91, 0.92), NOT, "71.0 against 91.0: -20.0 (-20.0 to -20.0), 3 seeds"),
        # differences 0, 10, 20: 10 +- 4.303 * 10 / sqrt(3) = 24.8
        ((0.5, 0.6, 0.7), (0.5, 0.5, 0.5), OPEN, "60.0 against 50.0: +10.0 (-14.8 to +34.8), 3 seeds"),
        ((0.9,), (0.5,), OPEN, "90.0 against 50.0: +40.0, one seed"),
    ],
)
def test_the_verdict_follows_from_the_interval_over_the_seeds(measured, gated, plain, verdict, words):
    measured(*({str(seed): top1 for seed, top1 in enumerate(values)} for values in (gated, plain)))
    (found,) = findings()
    assert (found.on, found.found, found.verdict) == ("joints", words, verdict)


def test_only_seeds_that_both_have_are_compared(measured):
    measured({"0": 0.9, "1": 0.9, "7": 0.1}, {"0": 0.8, "1": 0.8, "8": 0.9})
    (found,) = findings()
    assert found.found == "90.0 against 80.0: +10.0 (+10.0 to +10.0), 2 seeds"


@pytest.mark.parametrize("plain", [{}, {"5": 0.5}])
def test_nothing_is_said_where_one_line_is_not_measured(measured, plain):
    measured({"0": 0.9}, plain)
    assert findings() == []


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("**The finding holds here.**", HOLDS),
        ("**The finding does not hold here.**", NOT),
        ("**Too little data to tell whether the finding holds.**", OPEN),
        ("Too few rows to compare.", None),
    ],
)
def test_the_verdict_of_a_study_is_its_pages(words, verdict, tmp_path, monkeypatch):
    said = "The paper's best row, `3`, is 0.01 ± 0.02 ahead of `5` here (3 seeds)"
    (tmp_path / "README.md").write_text(f"Note. {said}. {words} More.", encoding="utf-8")
    small = reproduction.find_element("strn/table5.7")[2].small
    monkeypatch.setattr(claims, "folder_of", lambda form, column: tmp_path if form == small else None)
    monkeypatch.setattr(claims, "further_of", lambda name: {})
    paper = reproduction.read_paper("strn")
    found = claims.findings(paper, Claim(says="three", element="table5.7"))
    assert [(each.found, each.verdict) for each in found] == (
        [] if verdict is None else [("`3` is 0.01 ± 0.02 ahead of `5` here (3 seeds)", verdict)]
    )


def test_a_study_on_further_data_is_a_line_of_its_own(tmp_path, monkeypatch):
    said = "The paper's best row, `3`, is 0.01 ± 0.02 ahead of `5` here (3 seeds)"
    (tmp_path / "README.md").write_text(f"{said}. **The finding holds here.**", encoding="utf-8")
    monkeypatch.setattr(claims, "folder_of", lambda form, column: None)
    monkeypatch.setattr(claims, "further_of", lambda name: {"ego gestures": tmp_path})
    found = claims.findings(reproduction.read_paper("strn"), Claim(says="three", element="table5.7"))
    assert [(each.on, each.verdict) for each in found] == [("ego gestures, study strn_context", HOLDS)]


def test_pairs_of_rows_are_compared_in_the_mean_seed_by_seed(tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_bytes(find_study("eleatt_activation").read_bytes())
    head = "status,train.seed,model.attention_activation,model.attention_layers,test_top1"
    top1 = {  # means by seed: sigmoid .7 and .8, softmax .6 and .4
        ("sigmoid", 1): (0.6, 0.9),
        ("sigmoid", 2): (0.8, 0.7),
        ("softmax", 1): (0.5, 0.5),
        ("softmax", 2): (0.7, 0.3),
        ("softmax", 3): (0.0, 0.0),  # in no pair
    }
    rows = [
        f"COMPLETED,{seed},{kind},[{layer}],{value}"
        for (kind, layer), values in top1.items()
        for seed, value in enumerate(values)
    ]
    (tmp_path / "trials.csv").write_text("\n".join([head, *rows, "FAILED,2,sigmoid,[1],"]), encoding="utf-8")
    small = reproduction.find_element("eleattg/table6")[2].small
    monkeypatch.setattr(claims, "folder_of", lambda form, column: tmp_path if form == small else None)
    pairs = [["sigmoid, [1]", "softmax, [1]"], ["sigmoid, [2]", "softmax, [2]"]]
    claim = Claim(says="sigmoid", element="table6", pairs=pairs)
    paper = reproduction.read_paper("eleattg")
    (found,) = claims.findings(paper, claim)
    # differences 10 and 40: 25 +- 12.706 * sqrt(450 / 2) = 190.6
    assert (found.on, found.verdict) == ("utkinect, study eleatt_activation", OPEN)
    assert found.found == "75.0 against 50.0: +25.0 (-165.6 to +215.6), 2 seeds"
    # the paper's .787 and .773 against .750 and .727
    assert claims.printed(paper, claim) == "accuracy 0.780 against 0.738: +0.042, mean of 2 pairs of rows"


def test_the_papers_side_of_a_claim_is_computed_from_its_numbers():
    paper = reproduction.read_paper("eleattg")
    claim = next(each for each in paper.claims if each.element == "table3")
    assert claims.printed(paper, claim) == "CS 79.8 against 75.2: +4.6; CV 87.1 against 81.5: +5.6"
    paper = reproduction.read_paper("strn")
    claim = next(each for each in paper.claims if each.element == "table5.5")
    assert claims.printed(paper, claim) == "error `identity` 0.197, then `nonlinear` 0.210"
