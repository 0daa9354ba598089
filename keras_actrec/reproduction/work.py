"""How a table or figure is made: steps, each a command's work, over studies, trainings, tests and pictures.

Nothing is computed here: a study runs as `tune` runs it, a training as `train` does, a test as `evaluate`,
and pictures are those of `insight`.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras

from keras_actrec import data as sets
from keras_actrec import evaluation, insight, load, training, tuning, zoo
from keras_actrec._files import write_block, write_json
from keras_actrec._text import command, printable
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.data.preprocessors import Indexed
from keras_actrec.errors import UserError
from keras_actrec.insight.report import need_viz
from keras_actrec.recognizer import Recognizer
from keras_actrec.reproduction import tables
from keras_actrec.reproduction.paper import (
    Clips,
    Element,
    Form,
    InStudy,
    Paper,
    Part,
    Training,
    find_element,
    set_words,
)
from keras_actrec.reproduction.standing import MADE
from keras_actrec.training.prepare import read_data
from keras_actrec.tuning.results import read_trials

Tell: TypeAlias = Callable[[str], Any]

_EXPLAINED = 6  # clips of as many classes
_SEED = "train.seed="


@dataclass(frozen=True)
class Step:
    """One thing to do: the command, or in words, and the work."""

    line: str
    do: Callable[[StageProgress, Tell], Any]


def plan(
    name: str,
    *,
    data: PathLike | None = None,
    out: PathLike | None = None,
    small: bool = False,
    changes: Sequence[str] = (),
) -> list[Step]:
    """What makes a table or figure.

    Args:
        name: such as `"eleattg/table6"`.
        data: folder of the set. Of an element over several sets: the folder that holds one for each, called
            as the element's sets are. None: sets that are made are made in `out/data`, and in the steps of
            others it is `DATA`.
        out: folder for all that is written, by default `runs/NAME`.
        small: the form on small data.
        changes: of each recipe, or of the study, as `read_recipe` and `read_study` take them. `train.seed=N`
            takes the place of the form's seeds.

    Raises:
        UserError: for an unknown name, an element that cannot be made, or changes that a recipe refuses.
    """
    name, paper, element = find_element(name)
    try:
        form = element.form(small)
    except UserError as error:
        raise UserError(f"{name} cannot be made: {error}") from error
    plan = _Plan(
        name, paper, element, form, data, Path(out or f"runs/{name.replace('/', '-')}"), list(changes)
    )
    return [*plan.sets(), *plan.steps()]


def reproduce(
    name: str,
    out: PathLike,
    *,
    data: PathLike | None = None,
    small: bool = False,
    changes: Sequence[str] = (),
    tell: Tell | None = None,
    progress: StageProgress | None = None,
) -> Path:
    """Make a table or figure: train, test and draw what is not there yet.

    The same call on the folder of one that was stopped goes on with it.

    Args:
        name: as of `plan`.
        out: folder: `README.md` with the table, and its rows as CSV, or with the figure; runs, studies and
            their cache. Elements that share it share trainings.
        data: as of `plan`.
        small: as of `plan`.
        changes: as of `plan`.
        tell: called with the line of each step when it begins.
        progress: as of `train`.

    Returns:
        `out`.

    Raises:
        UserError: as `plan`; data that is needed and not given; what training, studies and tests raise.
    """
    tell = tell or silent
    progress = progress or silent
    _, paper, element = find_element(name)
    if data is None and not element.cannot:
        needed = [each for each in element.form(small).sets if isinstance(paper.sets[each], str)]
        if needed:
            words = "; ".join(f"{each}: {paper.sets[each]}" for each in needed)
            hint = "" if small or element.small is None else ", or --small"
            raise UserError(f"--data is missing, the folder of {words}{hint}")
    steps = plan(name, data=data, out=out, small=small, changes=changes)
    if element.picture:
        need_viz()  # before hours of work, not after
    for number, step in enumerate(steps, 1):
        tell(f"{number} of {len(steps)}: {step.line}")
        step.do(progress, tell)
    write_json(Path(out) / MADE, {"element": name, "small": small, "changes": list(changes)})
    return Path(out)


class _Plan:
    """The steps of one form of an element."""

    def __init__(
        self,
        name: str,
        paper: Paper,
        element: Element,
        form: Form,
        data: PathLike | None,
        out: Path,
        changes: list[str],
    ) -> None:
        self.paper, self.element, self.form, self.out = paper, element, form, out
        self.short, self.changes = name.partition("/")[2], changes
        names = form.sets
        self.roots: dict[str, Path] = {}
        self.made: dict[str, Clips] = {}
        for each in names:
            about = paper.sets[each]
            if data is None and isinstance(about, Clips):
                self.made[each] = about
                self.roots[each] = out / "data" / each
            else:
                root = Path("DATA" if data is None else data)
                self.roots[each] = root if len(names) == 1 else root / each
        # Titles name the paper's set, which the small form is not made of.
        small = [] if form is element.official else [set_words(paper.sets[each]) for each in names]
        self.title = f"{element.title} ({', here on '.join([name, *small])})"

    def sets(self) -> list[Step]:
        """The sets that are made first."""
        return [self._make(self.roots[name], about) for name, about in self.made.items()]

    def _make(self, root: Path, about: Clips) -> Step:
        options = about.model_dump()

        def do(progress: StageProgress, tell: Tell) -> None:
            if not (root / "manifest.csv").exists():
                sets.write_synthetic(
                    root, **options, progress=lambda done, total: progress("writing videos", done, total)
                )

        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
        return Step(command("synth", root, *words), do)

    def steps(self) -> list[Step]:
        """The work, and the table or figure at the end."""
        if self.form.study:
            return self._studies()
        if self.form.model:
            return [Step(f"build {self.form.model['name']} and write what its layers give", self._network)]
        if not self.form.rows:
            return self._audit()
        return self._trainings()

    # Studies

    def _studies(self) -> list[Step]:
        steps, folders = [], {}
        for column, part in (self.form.columns or {"": Part()}).items():
            changes = [*self.form.overrides, *part.overrides, *self._printed(column), *self.changes]
            study = tuning.read_study(self.form.study, changes)
            root, folder = self.roots[self.form.data], self.out / (_slug(column) or "study")
            folders[column] = study, folder
            words = [word for change in changes for word in ("--set", change)]
            line = command("tune", self.form.study, "--data", root, "--out", folder, *words)
            steps.append(Step(line, functools.partial(_tune, study, root, folder)))
        if self.element.picture == "bars":
            for column, (study, folder) in folders.items():
                path = self.out / "-".join(filter(None, [self.short, _slug(column)]))
                path = path.with_name(f"{path.name}.png")
                steps.append(self._draw(path, functools.partial(self._bars, study, folder, path)))
        return steps

    def _printed(self, column: str) -> list[str]:
        """The paper's column for the study, where its own is another one."""
        numbers = self.element.paper
        if numbers is None or column not in numbers.columns:
            return []
        at = numbers.columns.index(column)
        cells = {row: cells[at] for row, cells in numbers.rows.items()}
        if any(isinstance(cell, InStudy) for cell in cells.values()):
            return []
        rows = ", ".join(f"{json.dumps(row)} = {cell}" for row, cell in cells.items() if cell != "")
        return [f"table.paper={{{rows}}}"]

    def _bars(self, study: tuning.Study, folder: Path, path: Path, *_: Any) -> None:
        if study.table is None:
            raise UserError(
                f"{study.name} has no table, of which bars could be drawn: leave its axes as they are"
            )
        ours: dict[str, list[float]] = {row: [] for row in self.form.draw}
        for trial in read_trials(folder):
            label = study.table.label(trial.values)
            if trial.completed and label in ours and "test_top1" in trial.result["metrics"]:
                ours[label].append(trial.result["metrics"]["test_top1"])
        unit = 100 if any(value > 1 for value in study.table.paper.values()) else 1
        insight.draw_bars(
            {row: [unit * value for value in values] for row, values in ours.items()},
            path,
            printed=study.table.paper,
            title=self.title,
        )

    # What is read and built, not trained

    def _audit(self) -> list[Step]:
        root, file = self.roots[self.form.data], self.out / "audit.json"
        picture = self.out / f"{self.short}.png"
        dataset = self.form.dataset or None
        words = ["--dataset", dataset] if dataset else []

        def audit(progress: StageProgress, tell: Tell) -> None:
            sets.audit_videos(
                sets.read_whole(root, dataset=dataset),
                out=file,
                progress=lambda done, total: progress("videos", done, total),
            )

        def draw(*_: Any) -> None:
            insight.draw_counts(
                sets.read_audit(file).classes, self.out / f"{self.short}.png", title=self.title
            )

        def table(*_: Any) -> None:
            manifest = sets.read_set(root, dataset=dataset)
            self._write(tables.of_audit(self.element, sets.read_audit(file), manifest))

        first = Step(command("audit", "--data", root, "--json", file, *words), audit)
        if self.element.picture == "labels":
            return [first, self._draw(picture, draw)]
        return [first, Step(f"write {self.out / 'README.md'}", table)]

    def _network(self, *_: Any) -> None:
        arguments = {key: value for key, value in self.form.model.items() if key != "name"}
        if "input_shape" in arguments:
            arguments["input_shape"] = tuple(arguments["input_shape"])
        self._write(tables.of_network(self.element, zoo.build(self.form.model["name"], **arguments)))
        keras.utils.clear_session(free_memory=False)

    # Trainings

    def _trainings(self) -> list[Step]:
        cells = list(self.element.cells(self.form))
        given = [change.partition("=")[2] for change in self.changes if change.startswith(_SEED)]
        seeds = [int(seed) for seed in given[-1:]] or self.form.seeds
        others = [change for change in self.changes if not change.startswith(_SEED)]
        trainings = dict.fromkeys(training for cell in cells for training in cell.trainings)
        tested = not self.element.picture and {cell.metric for cell in cells} - {"epochs", "updates"}
        wanted, steps, folders = set(trainings), list[Step](), dict[tuple[Training, int], Path]()
        trainings = {**{each.start: None for each in trainings if each.start}, **trainings}
        for each in trainings:
            for seed in seeds:
                folder = self.out / "runs" / f"{each.named()}-seed-{seed}"
                folders[each, seed] = folder
                start = folders[each.start, seed] if each.start else None
                steps.append(self._train(each, [*each.changes, *others, f"{_SEED}{seed}"], folder, start))
                if tested and each in wanted:
                    steps.append(self._test(each, folder))
        if self.element.picture:
            runs = {
                " ".join(dict.fromkeys(filter(None, [cell.row, cell.column if self.form.columns else ""]))): (
                    folders[cell.trainings[0], seeds[0]],
                    self.roots[cell.trainings[0].data],
                )
                for cell in cells
            }
            return [*steps, self._picture(runs)]

        def table(*_: Any) -> None:
            self._write(tables.of_runs(self.element, self.form, folders, seeds))
            if tested:
                rows = [
                    evaluation.result_row(folder) for (each, _), folder in folders.items() if each in wanted
                ]
                evaluation.write_results(self.out / f"{self.short}.csv", rows)

        return [*steps, Step(f"write {self.out / 'README.md'}", table)]

    def _train(self, each: Training, changes: list[str], folder: Path, start: Path | None) -> Step:
        recipe = training.read_recipe(each.recipe, changes)
        root, cache = self.roots[each.data], self.out / "cache"

        def do(progress: StageProgress, tell: Tell) -> None:
            training.train(
                recipe,
                root,
                folder,
                name=each.recipe,
                overrides=changes,
                start=start,
                cache=cache,
                tell=tell,
                progress=progress,
            )
            keras.utils.clear_session(free_memory=False)

        words = ["--from", start] if start else []
        words += [word for change in changes for word in ("--set", change)]
        line = command("train", each.recipe, "--data", root, "--out", folder, "--cache", cache, *words)
        return Step(line, do)

    def _test(self, each: Training, folder: Path) -> Step:
        model, file, root = folder / "model.keras", folder / "test.json", self.roots[each.data]
        protocol = self.form.protocol or None

        def do(progress: StageProgress, tell: Tell) -> None:
            if not file.exists():
                evaluation.evaluate(
                    load(model), root, protocol=protocol, floors=True, progress=progress
                ).write_json(file)
                keras.utils.clear_session(free_memory=False)

        words = ["--protocol", protocol] if protocol else []
        return Step(command("evaluate", model, "--data", root, "--json", file, *words), do)

    # Pictures of trained models

    def _picture(self, runs: Mapping[str, tuple[Path, Path]]) -> Step:
        draw = {
            "attention": (self._attention, "html"),
            "confusion": (self._confusion, "html"),
            "gates": (self._gates, "png"),
            "loss": (self._loss, "png"),
            "temperature": (self._temperature, "png"),
            "tsne": (self._tsne, "png"),
        }
        function, suffix = draw[self.element.picture]
        path = self.out / f"{self.short}.{suffix}"
        return self._draw(
            path, functools.partial(function, runs, path), [folder for folder, _ in runs.values()]
        )

    def _loss(self, runs: Mapping[str, tuple[Path, Path]], path: Path, *_: Any) -> None:
        folders = {name: folder for name, (folder, _) in runs.items()}
        insight.draw_curves(folders, path, columns=self.form.draw, title=self.title)

    def _confusion(
        self, runs: Mapping[str, tuple[Path, Path]], path: Path, progress: StageProgress, _: Tell
    ) -> None:
        found = [
            evaluation.evaluate(load(folder / "model.keras"), root, progress=progress)
            for folder, root in runs.values()
        ]
        insight.write_report(path, title=self.title, evaluations=found)

    def _explained(self, runs: Mapping[str, tuple[Path, Path]]) -> list[insight.Explanation]:
        """The first clip of the test part of each of some classes."""
        found = []
        for folder, root in runs.values():
            recognizer = load(folder / "model.keras")
            shown = {record.label: record for record in reversed(_test_part(folder, root))}
            for label in sorted(shown)[:_EXPLAINED]:
                name = recognizer.class_names[label]
                found.append(insight.explain(recognizer, shown[label].file, true_label=name))
        return found

    def _attention(self, runs: Mapping[str, tuple[Path, Path]], path: Path, *_: Any) -> None:
        insight.write_report(path, title=self.title, explanations=self._explained(runs))

    def _temperature(self, runs: Mapping[str, tuple[Path, Path]], path: Path, *_: Any) -> None:
        numbers = self.element.paper
        printed = (
            [float(cell) for (cell,) in numbers.rows.values() if isinstance(cell, float)] if numbers else []
        )
        insight.draw_temperature(self._explained(runs), path, printed=printed, title=self.title)

    def _tsne(self, runs: Mapping[str, tuple[Path, Path]], path: Path, *_: Any) -> None:
        insight.draw_embedding({name: _opened(*run) for name, run in runs.items()}, path, title=self.title)

    def _gates(self, runs: Mapping[str, tuple[Path, Path]], path: Path, *_: Any) -> None:
        (run,) = runs.values()
        insight.draw_gates(*_opened(*run), path, classes=self.form.draw, title=self.title)

    def _draw(
        self, path: Path, draw: Callable[[StageProgress, Tell], Any], runs: Sequence[Path] = ()
    ) -> Step:
        """The step that draws a picture, and writes with which runs."""

        def do(progress: StageProgress, tell: Tell) -> None:
            draw(progress, tell)
            link = (
                f"![{self.short}]({path.name})" if path.suffix == ".png" else f"[{self.short}]({path.name})"
            )
            self._write("\n\n".join([link, *([tables.made_of(runs)] if runs else [])]), path.stem)

        return Step(f"draw {path}", do)

    def _write(self, block: str, name: str = "") -> None:
        """Put a table or picture on the page of the folder, which other elements may share."""
        missing = [f"{row}: {why}." for row, why in self.element.missing.items()]
        notes = [self.element.note, self.form.note, *missing]
        text = "\n\n".join([f"## {printable(self.title)}", block, *filter(None, notes)])
        heading = f"# {printable(self.paper.cite)}"
        write_block(self.out / "README.md", name or self.short, text, heading=heading)


def _tune(study: tuning.Study, root: Path, folder: Path, progress: StageProgress, tell: Tell) -> None:
    tuning.run_study(
        study, root, folder, resume=(folder / "study.toml").exists(), tell=tell, progress=progress
    )


def _test_part(folder: Path, root: Path) -> Sequence[sets.Record]:
    """The test part of the data that a run was trained on."""
    _, parts = read_data(training.read_recipe(folder / "recipe.toml").data, root)
    if not parts["test"]:
        raise UserError(f"{root} has no test part, of which the picture is drawn")
    return parts["test"]


def _opened(folder: Path, root: Path) -> tuple[Recognizer, Indexed]:
    """A run's model, and its test part, indexed."""
    recognizer = load(folder / "model.keras")
    items, _ = recognizer.preprocessor.index(_test_part(folder, root), on_error="skip")
    return recognizer, items


def _slug(column: str) -> str:
    """A column's name as that of a folder."""
    return "".join(c if c.isalnum() else "_" for c in column.lower())
