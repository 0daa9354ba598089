"""What the papers claim, and what stands here of it: a page that a program writes from results."""

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_actrec._files import read_csv
from keras_actrec._text import printable
from keras_actrec.evaluation import student_interval
from keras_actrec.reproduction.paper import (
    Claim,
    Element,
    Form,
    Paper,
    Part,
    Training,
    list_papers,
    read_paper,
    set_words,
)
from keras_actrec.reproduction.standing import folder_of, further_of, seeds_of
from keras_actrec.tuning import read_study
from keras_actrec.tuning.space import SEED

HOLDS, NOT, OPEN = "holds", "does not hold", "cannot be told"
# What the page of a study says of its finding, which `tuning.report` writes.
_STUDY = {
    "The finding holds here": HOLDS,
    "The finding does not hold here": NOT,
    "Too little data to tell whether the finding holds": OPEN,
}
_VERDICT = re.compile(
    rf"(`[^`]+`), (is [^`*]* (?:ahead of|behind) `[^`]+` here [^*]*?)\. \*\*({'|'.join(_STUDY)})\.\*\*"
)


@dataclass(frozen=True)
class Finding:
    """What stands here of a claim: on which data, what was found, and whether the claim holds there."""

    on: str
    found: str
    verdict: str


def findings(paper: Paper, claim: Claim) -> list[Finding]:
    """All that stands of a claim, on the official data first; empty where nothing is measured."""
    element, found = paper.elements[claim.element], list[Finding]()
    for form in filter(None, (element.official, element.small)):
        found += _of_form(paper, element, form, claim)
    study = _study_of(element, claim)
    if study and (claim.study or not claim.better):
        found += _of_study(study, element, claim)
    for pair in claim.also:
        found += _of_pair(pair.on, _trainings(pair.better), _trainings(pair.worse))
    return found


def _of_form(paper: Paper, element: Element, form: Form, claim: Claim) -> Iterator[Finding]:
    """The two rows of a claim in a form of trainings, a finding a column."""
    cells = {(cell.row, cell.column): cell for cell in element.cells(form)}
    for (row, column), better in cells.items():
        worse = cells.get((claim.worse, column))
        if row == claim.better and worse is not None:
            words = [set_words(paper.sets[better.trainings[0].data]), *([column] if form.columns else [])]
            if form is element.official:
                words.insert(0, "the official data")
            yield from _of_pair(", ".join(words), better.trainings, worse.trainings)


def _trainings(part: Part) -> tuple[Training, ...]:
    """What a part alone says is trained, over its folds."""
    folds = [[part.fold.replace("N", str(number))] for number in part.folds] or [[]]
    return tuple(Training(part.recipe, (*part.overrides, *fold), "") for fold in folds)


def _of_pair(on: str, better: tuple[Training, ...], worse: tuple[Training, ...]) -> Iterator[Finding]:
    """The difference of two lines of results, seed by seed; nothing where one of them does not stand."""
    yield from _compared(on, seeds_of(better), seeds_of(worse))


def _compared(on: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> Iterator[Finding]:
    """The difference of two scores by seed, with its interval; nothing where they share no seed."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return
    differences = [100 * (ours[seed] - theirs[seed]) for seed in seeds]
    means = [100 * statistics.mean(each[seed] for seed in seeds) for each in (ours, theirs)]
    text = f"{means[0]:.1f} against {means[1]:.1f}: "
    if len(seeds) == 1:
        yield Finding(on, f"{text}{differences[0]:+.1f}, one seed", OPEN)
        return
    mean, half = student_interval(differences)
    low, high = mean - half, mean + half
    verdict = HOLDS if low > 0 else NOT if high < 0 else OPEN
    yield Finding(on, f"{text}{mean:+.1f} ({low:+.1f} to {high:+.1f}), {len(seeds)} seeds", verdict)


def _of_study(name: str, element: Element, claim: Claim) -> Iterator[Finding]:
    """What the trials of a study say of pairs of its rows, or its pages of its finding."""
    forms = [Form(study=name)] if claim.study else [element.official, element.small]
    folders = []
    for form in forms:
        if form is not None and form.study == name:
            on = read_study(name, form.overrides).recipe_of().data.dataset or "clips that are made"
            folders += [(on, folder_of(form, column)) for column in list(form.columns) or [""]]
    for on, folder in [*folders, *further_of(name).items()]:
        if folder is not None and claim.pairs:
            yield from _compared(f"{on}, study {name}", *_of_rows(folder, claim.pairs))
        elif folder is not None:
            text = (folder / "README.md").read_text(encoding="utf-8")
            for row, found, words in _VERDICT.findall(text):
                yield Finding(f"{on}, study {name}", f"{row} {found}", _STUDY[words])


def _of_rows(folder: Path, pairs: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Top-1 of each seed of a study's trials, the mean over the better rows of pairs, and over the worse."""
    table = read_study(folder / "study.toml").table
    rows: dict[str, dict[str, float]] = {}
    for trial in read_csv(folder / "trials.csv"):
        if table is not None and trial["status"] == "COMPLETED":
            label = ", ".join(trial[axis] for axis in table.rows if trial[axis])
            rows.setdefault(label, {})[trial[SEED]] = float(trial["test_top1"])
    sides = [[rows[label] for label in labels] for labels in zip(*pairs, strict=True)]
    return [{seed: statistics.mean(row[seed] for row in side) for seed in side[0]} for side in sides]


def printed(paper: Paper, claim: Claim) -> str:
    """What the paper's numbers say of a claim."""
    element = paper.elements[claim.element]
    if claim.better:
        return _two_rows(paper, element, claim)
    table = read_study(study).table if (study := _study_of(element, claim)) else None
    if table is None or len(table.paper) < 2:
        return ""
    if claim.pairs:
        sides = zip(*claim.pairs, strict=True)
        better, worse = (statistics.mean(table.paper[row] for row in side) for side in sides)
        over = f", mean of {len(claim.pairs)} pairs of rows" if len(claim.pairs) > 1 else ""
        return f"{table.column} {better:.3f} against {worse:.3f}: {better - worse:+.3f}{over}"
    ranked = sorted(table.paper.items(), key=lambda pair: pair[1], reverse="error" not in table.column)
    first, second = (f"`{row}` {value:.3f}" for row, value in ranked[:2])
    return f"{table.column} {first}, then {second}"


def _study_of(element: Element, claim: Claim) -> str:
    """The study that judges a claim, empty where none does."""
    forms = [form for form in (element.small, element.official) if form is not None]
    return claim.study or next((form.study for form in forms if form.study), "")


def _two_rows(paper: Paper, element: Element, claim: Claim) -> str:
    """The two rows of a claim, column by column, where they are trained here or nowhere."""
    other = paper.elements[claim.worse_element or claim.element]
    if element.paper is None or other.paper is None:
        return ""
    trained = {cell.column for cell in element.cells(element.official)} if element.official else set()
    texts = []
    for column, theirs in zip(element.paper.columns, other.paper.columns, strict=False):
        better, worse = element.paper.cell(claim.better, column), other.paper.cell(claim.worse, theirs)
        if column in trained and isinstance(better, (int, float)) and isinstance(worse, (int, float)):
            places = 1 if element.paper.is_percent else 3
            texts.append(f"{column} {better} against {worse}: {better - worse:+.{places}f}")
    return "; ".join(texts)


def claims_page() -> str:
    """The page in Markdown: each claim, the paper's numbers, ours with intervals, and whether it holds."""
    counts = dict.fromkeys((HOLDS, NOT, OPEN), 0)
    parts, claims, unmeasured = [], 0, 0
    for name in list_papers():
        paper = read_paper(name)
        lines = [f"## {printable(paper.cite)}", ""]
        lines += ["| the paper says | its numbers | on | here | verdict |", "|---|---|---|---|---|"]
        for claim in paper.claims:
            claims += 1
            found = findings(paper, claim)
            unmeasured += not found
            rows = [(each.on, each.found, f"**{each.verdict}**") for each in found]
            first = [f"{claim.says} ({claim.element})", printed(paper, claim) or "–"]
            for row in rows or [("–", "nothing is measured", "")]:
                lines.append(_line([*first, *row]))
                first = ["", ""]
            for each in found:
                counts[each.verdict] += 1
        facts = (f"*{claim.says}* ({claim.element}) {claim.fact}" for claim in paper.claims if claim.fact)
        parts.append("\n\n".join(["\n".join(lines), *map(printable, facts)]))
    head = (
        f"{claims} claims; of {unmeasured} nothing is measured here. Of {sum(counts.values())} comparisons "
        f"{counts[HOLDS]} say that it holds, {counts[NOT]} that it does not, and {counts[OPEN]} cannot tell. "
        "None is on a paper's official data unless it says so. Accuracies in percent; a difference "
        "with its 95 % interval over the seeds (Student), seed by seed on the same test clips, which says "
        "nothing about other clips. Each number is of rows in `zoo/*/results.csv`, or on the page of a study "
        "in `tuning/`."
    )
    return "\n\n".join([head, *parts])


def _line(texts: list[str]) -> str:
    return f"| {' | '.join(printable(text).replace('|', '/') for text in texts)} |"
