import json
import sys

import cv2
import keras
import pytest
import typer
from typer.testing import CliRunner

import keras_actrec
from keras_actrec import _installation
from keras_actrec._installation import examine
from keras_actrec.cli import main
from keras_actrec.errors import UserError

BACKENDS = ("jax", "torch", "tensorflow")
NO_BACKEND = "No backend is installed: pip install 'keras_actrec[jax]' (or [torch], [tensorflow])"
# What the installed program runs, and the other way to start it.
STARTS = (["-c", "from keras_actrec_program import main; main()"], ["-m", "keras_actrec"])
TELL = """
import atexit, sys

def tell():
    heavy = {"keras", "cv2", "jax", "torch", "tensorflow", "matplotlib"} & set(sys.modules)
    print("loaded:", *heavy, file=sys.stderr)

atexit.register(tell)
"""


def program(command, needs_keras=False):
    """A program with one command and our error handling."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main._run(command, needs_keras))
    return app


def test_doctor_reports_this_installation(tmp_path):
    result = CliRunner().invoke(main.app, ["doctor", "--json", str(tmp_path / "made" / "doctor.json")])
    assert result.exit_code == 0, result.output
    findings = json.loads((tmp_path / "made" / "doctor.json").read_text(encoding="utf-8"))
    active = keras.backend.backend()
    assert findings["backend"] == active
    assert findings["backends"][active] == sys.modules[active].__version__
    assert findings["devices"] and findings["problems"] == []
    assert findings["keras"] == keras.__version__
    assert findings["keras_actrec"] == keras_actrec.__version__
    assert findings["opencv"] == cv2.__version__
    assert f"{active}" in result.stdout and "(active)" in result.stdout
    assert list((tmp_path / "made").iterdir()) == [tmp_path / "made" / "doctor.json"]


def test_doctor_writes_and_reads_mp4v_which_every_opencv_can():
    assert examine()["codecs"]["mp4v"] == {"written": True, "read": True}


def test_doctor_does_not_believe_a_codec_that_cannot_be_written():
    assert _installation._try_codec("????", ".mp4") == {"written": False, "read": False}


def test_doctor_names_what_an_extra_lacks_and_how_to_install_it(monkeypatch):
    version = _installation._version
    monkeypatch.setattr(
        _installation, "_version", lambda name: None if name == "keras-tuner" else version(name)
    )
    extras = examine()["extras"]
    assert {"jax", "torch", "tensorflow", "pretrained", "tune", "viz", "dev"} <= set(extras)
    assert "keras-tuner" in extras["tune"]["missing"]
    assert extras["tune"]["install"] == "pip install 'keras_actrec[tune]'"
    assert extras[keras.backend.backend()]["missing"] == []


def test_doctor_prints_the_brackets_of_an_install_command(monkeypatch):
    version = _installation._version
    monkeypatch.setattr(
        _installation, "_version", lambda name: None if name == "keras-tuner" else version(name)
    )
    assert "pip install 'keras_actrec[tune]'" in CliRunner().invoke(main.app, ["doctor"]).stdout


def test_doctor_without_opencv_fails_with_the_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = CliRunner().invoke(main.app, ["doctor"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: OpenCV cannot be imported")
    assert "apt-get install libgl1" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("start", STARTS, ids=["program", "module"])
def test_doctor_works_without_a_backend_and_says_which_to_install(run_python, hide, start):
    done = run_python(*start, "doctor", KERAS_BACKEND=None, PYTHONPATH=hide(*BACKENDS))
    assert done.returncode == 1
    assert "python" in done.stdout
    assert done.stderr == f"error: {NO_BACKEND}\n"


@pytest.mark.parametrize("start", STARTS, ids=["program", "module"])
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, ["doctor", "--install-completion"]),
        (["train", "--help"], 0, ["--cache"]),
        (["--version"], 0, [f"keras_actrec {keras_actrec.__version__}, backend {keras.backend.backend()}"]),
        (["trian"], 2, ["Did you mean 'train'?"]),
        (["audit", "--dat", "x"], 2, ["No such option: --dat", "--data"]),
        (["--show-completion", "bash"], 0, ["complete -o default -F"]),
    ],
)
def test_keras_is_not_loaded_for(run_python, tmp_path, start, arguments, status, words):
    """Every process writes at its end whether Keras and the like are loaded."""
    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "sitecustomize.py").write_text(TELL, encoding="utf-8")
    # Typer looks for the shell among the parents of the process, whatever `--show-completion` names.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = run_python(*start, *arguments, PYTHONPATH=tmp_path / "told", **named)
    assert done.returncode == status, done.stderr
    assert done.stderr.splitlines()[-1] == "loaded:"
    for word in words:
        assert word in done.stdout + done.stderr


def test_the_version_without_a_backend_says_how_to_install_one(run_python, hide):
    done = run_python(*STARTS[0], "--version", KERAS_BACKEND=None, PYTHONPATH=hide(*BACKENDS))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"keras_actrec {keras_actrec.__version__}, no backend: {NO_BACKEND}\n"


@pytest.mark.parametrize(
    ("words", "number", "completed"),
    [
        ("keras-actrec ev", 1, ["evaluate"]),
        ("keras-actrec train x --ca", 3, ["--cache"]),
        ("keras-actrec reproduce hman/figure1", 2, ["hman/figure10", "hman/figure11"]),
        ("keras-actrec reproduce st", 2, ["strn", *(f"strn/table5.{number}" for number in range(1, 10))]),
    ],
)
def test_the_shell_completes_commands_and_options(run_python, words, number, completed):
    code = "import sys; sys.argv = ['keras-actrec']; from keras_actrec_program import main; main()"
    asked = {"_KERAS_ACTREC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
    done = run_python("-c", code, **asked)
    assert done.stdout.split() == completed, done.stderr


def test_a_command_that_needs_keras_gets_the_backend_error_as_one_line(run_python, hide):
    done = run_python(*STARTS[0], "models", KERAS_BACKEND="jax", PYTHONPATH=hide(*BACKENDS))
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr == "error: KERAS_BACKEND=jax but jax is not installed: pip install 'keras_actrec[jax]'\n"
    )


def test_an_error_the_person_can_mend_is_one_line_and_status_1():
    def command():
        raise UserError("`frames` must be at least 1. Received: frames=0")

    result = CliRunner().invoke(program(command), [])
    assert result.exit_code == 1
    assert result.stderr == "error: `frames` must be at least 1. Received: frames=0\n"


def test_a_missing_file_is_one_line_and_status_1():
    result = CliRunner().invoke(program(lambda: open("no/such/file")), [])
    assert result.exit_code == 1
    assert result.stderr == "error: [Errno 2] No such file or directory: 'no/such/file'\n"


def test_an_interrupt_is_one_line_and_status_130():
    def command():
        raise KeyboardInterrupt

    result = CliRunner().invoke(program(command), [])
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_our_own_mistake_keeps_its_traceback():
    result = CliRunner().invoke(program(lambda: 1 / 0), [])
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["doctor", "--no-such-option"], ["doctor", "--json"]]
)
def test_wrong_usage_is_status_2(arguments):
    assert CliRunner().invoke(main.app, arguments).exit_code == 2
