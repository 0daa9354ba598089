"""`keras-actrec init`: a recipe for videos of one's own, to read and to change."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._text import command
from keras_actrec.cli._options import Data
from keras_actrec.cli._terminal import say
from keras_actrec.errors import UserError


def init(
    data: Data,
    out: Annotated[Path, typer.Option(help="The TOML file to write.")],
    model: Annotated[str | None, typer.Option(help="Name of a model, by default chosen too.")] = None,
    minutes: Annotated[float, typer.Option(help="How long training may take here, about.")] = 15.0,
    audit: Annotated[Path | None, typer.Option(help="Keep what was read here, for `train --audit`.")] = None,
) -> None:
    """Look at the data, and write a recipe with the reason for each choice."""
    from keras_actrec import training
    from keras_actrec._files import write_text
    from keras_actrec.cli._choice import print_choice
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.training.choice import check_minutes

    if out.exists():
        raise UserError(f"{out} exists: choose another --out, or remove it")
    check_minutes(minutes)
    with progress_bars() as progress:
        facts = training.look(data, audit=audit, tell=say, progress=progress)
    choice = training.choose(facts, model=model, minutes=minutes)
    print_choice(choice)
    write_text(out, choice.to_toml())
    known = ["--audit", audit] if audit else []
    then = command("train", out, "--data", data, "--out", Path("runs", out.stem), *known)
    say(f"wrote {out}; next: {then}")
