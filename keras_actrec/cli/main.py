"""The command `keras-actrec`: registers the commands and turns what went wrong into one line."""

import functools
import io
import itertools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import keras_actrec
from keras_actrec._backend_choice import choose_backend, lean_keras
from keras_actrec._files import is_disk_full
from keras_actrec._quiet import keep_stderr_for_python
from keras_actrec._signals import TERMINATED, Terminated, raising
from keras_actrec._text import printable
from keras_actrec.cli._terminal import say, say_error
from keras_actrec.cli.audit import audit
from keras_actrec.cli.bench import bench
from keras_actrec.cli.convert import convert
from keras_actrec.cli.demo import demo
from keras_actrec.cli.doctor import doctor
from keras_actrec.cli.evaluate import evaluate
from keras_actrec.cli.explain import explain
from keras_actrec.cli.export import export
from keras_actrec.cli.extract import extract
from keras_actrec.cli.init import init
from keras_actrec.cli.models import models
from keras_actrec.cli.pack import pack
from keras_actrec.cli.predict import predict
from keras_actrec.cli.report import report
from keras_actrec.cli.reproduce import reproduce
from keras_actrec.cli.results import results
from keras_actrec.cli.stream import stream
from keras_actrec.cli.synth import synth
from keras_actrec.cli.train import train
from keras_actrec.cli.tune import tune
from keras_actrec.cli.web import web
from keras_actrec.errors import DiskFullError, UserError

# Each command and whether it needs Keras, in the order of `--help`. The modules import nothing heavy: that
# happens inside the functions, so that `--help` stays quick (see `keras_actrec_program`).
COMMANDS = (
    (doctor, False),
    (demo, True),
    (models, True),
    (synth, True),
    (init, True),
    (audit, True),
    (pack, True),
    (extract, True),
    (train, True),
    (evaluate, True),
    (results, True),
    (predict, True),
    (stream, True),
    (web, True),
    (report, True),
    (explain, True),
    (reproduce, True),
    (convert, True),
    (export, False),  # it chooses the backend
    (tune, True),
    (bench, True),
)

app = typer.Typer(
    name="keras-actrec",
    help="Action recognition for Keras 3: from a folder of videos to an answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            backend = f"backend {choose_backend()}"
        except UserError as error:
            backend = f"no backend: {error}"
        say(f"keras_actrec {keras_actrec.__version__}, {backend}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print version and backend, and exit."
        ),
    ] = False,
) -> None:
    pass


class _Command(TyperCommand):
    """A command that does not take its own options for values, as in `--segments --labels truth.csv`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = [each for each in self.params if each.param_type_name == "option"]
        of_name: dict[str, Any] = {name: option for option in options for name in option.opts}
        names = {
            *of_name,
            *ctx.help_option_names,
            *(name for each in options for name in each.secondary_opts),
        }
        given = itertools.takewhile(lambda each: each != "--", args)
        for name, value in itertools.pairwise(given):
            option = of_name.get(name)
            if option is not None and not option.is_flag and value in names:
                reason = (
                    f"it needs a value, and {value} is an option; if it is the value, write {name}={value}"
                )
                raise typer.BadParameter(reason, ctx=ctx, param=option)
        return super().parse_args(ctx, args)


def _run(command: Callable[..., None], needs_keras: bool) -> Callable[..., None]:
    """Wraps a command: loads Keras where it is needed, prints an error as one line."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            if needs_keras:
                with lean_keras():
                    keras_actrec._load_keras()
            with raising():
                command(*args, **kwargs)
        except (UserError, OSError) as error:
            if is_disk_full(error) and not isinstance(error, DiskFullError):
                error = DiskFullError(getattr(error, "filename", None) or "what is written")
            say_error(error)
            raise typer.Exit(1) from error
        except (KeyboardInterrupt, Terminated) as error:
            say(str(error) or "Interrupted.", file=sys.stderr)
            raise typer.Exit(TERMINATED if isinstance(error, Terminated) else 130) from error

    return wrapped


for _command, _needs_keras in COMMANDS:
    app.command(cls=_Command)(_run(_command, _needs_keras))


def main() -> None:
    """Runs the command line.

    A `UserError` or an `OSError` becomes the line `error: ...` on stderr and exit status 1; Ctrl-C and
    SIGTERM a line, such as `Interrupted.`, and 130 and 143; wrong usage exits with 2. Anything else is our
    mistake and keeps its traceback.
    """
    keep_stderr_for_python()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # for the processes of `tune`, which write to files
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(message)}\n"
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.getLogger("keras_actrec").addHandler(logging.NullHandler())  # errors are printed below, once
    with raising():
        app()
