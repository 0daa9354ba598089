"""What the wheel carries, and that the lists that must agree do."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import keras_actrec

pytestmark = pytest.mark.no_backend

CHECKOUT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
DATA = {"tuning": "studies", "zoo": "recipes"}  # folder to the package that it becomes


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what goes into the wheel, with a made-up folder in zoo/ and in tuning/."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "keras_actrec_program.py"):
        shutil.copy(CHECKOUT / name, source / name)
    for name in ("keras_actrec", *DATA):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in DATA:
        (source / folder / "made_up").mkdir()
        for name in (
            "README.md",
            "data.toml",
            "results.csv",
            "picture.png",
            "made.json",
            "a.keras",
            "notes.txt",
        ):
            (source / folder / "made_up" / name).touch()
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel as {name: bytes}."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "importable" not in done.stdout + done.stderr  # a folder of data that looks like a package
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_source_archive_holds_every_file_of_the_checkout(tmp_path):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout of git: nothing lists its files")
    files = {name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()}
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, tmp_path / name)
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(next((tmp_path / "dist").glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "docs/build.py", "constraints.txt", "zoo/hman/README.md"} <= files
    assert files - held <= {".gitignore", ".pre-commit-config.yaml"}


def text_of(wheel, name):
    (found,) = [key for key in wheel if key.endswith(f".dist-info/{name}")]
    return wheel[found].decode()


def test_the_wheel_carries_every_file_of_the_package(wheel, source):
    files = {
        path.relative_to(source).as_posix() for path in (source / "keras_actrec").rglob("*") if path.is_file()
    }
    assert len(files) > 20
    assert files - set(wheel) == set()


@pytest.mark.parametrize("package", DATA.values())
def test_the_wheel_carries_recipes_studies_texts_and_results_as_package_data(wheel, package):
    found = {name for name in wheel if name.startswith(f"keras_actrec/{package}/made_up/")}
    more = {"recipes": ["a.keras"], "studies": ["made.json"]}
    carried = ["README.md", "data.toml", "results.csv", *more[package]]
    assert found == {f"keras_actrec/{package}/made_up/{name}" for name in carried}


def test_the_wheel_carries_nothing_but_the_package_and_the_start_of_its_program(wheel):
    tops = {name.split("/")[0].split("-")[0] for name in wheel}
    assert tops == {"keras_actrec", "keras_actrec_program.py"}


def test_the_wheel_stays_small(wheel):
    # Measured: 8 MB, of which 5 are trained models. Whoever adds to that takes from each installation.
    assert sum(map(len, wheel.values())) < 9e6


def test_the_wheel_says_that_the_package_is_typed(wheel):
    assert wheel["keras_actrec/py.typed"] == b""


def test_the_wheel_has_the_version_of_the_package(wheel):
    assert f"\nVersion: {keras_actrec.__version__}\n" in text_of(wheel, "METADATA")


def test_the_wheel_has_the_command_and_the_license(wheel):
    assert "keras-actrec = keras_actrec_program:main" in text_of(wheel, "entry_points.txt")
    assert "Apache License" in text_of(wheel, "licenses/LICENSE")


def test_every_package_folder_is_listed():
    folders = {
        ".".join(path.parent.relative_to(CHECKOUT).parts)
        for path in (CHECKOUT / "keras_actrec").rglob("__init__.py")
    }
    assert {*PYPROJECT["tool"]["setuptools"]["packages"]} == folders | {
        f"keras_actrec.{package}" for package in DATA.values()
    }


def test_constraints_pin_everything_that_is_required_inside_its_range():
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    required = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    for requirement in map(Requirement, required + sum(EXTRAS.values(), [])):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_what_the_package_requires_is_a_range():
    for requirement in PYPROJECT["project"]["dependencies"] + sum(EXTRAS.values(), []):
        assert "==" not in requirement


def test_readme_says_what_every_extra_is_for():
    rows = re.findall(r"^\| (`[a-z`, ]+`) \| ", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.M)
    assert {name for row in rows for name in re.findall(r"`([a-z]+)`", row)} >= set(EXTRAS)


def test_every_extra_that_a_text_names_exists():
    paths = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *(CHECKOUT / "keras_actrec").rglob("*.py")]
    named = set()
    for path in paths:
        for extras in re.findall(r"keras[_-]actrec\[([a-z,]+)\]", path.read_text(encoding="utf-8")):
            named |= set(extras.split(","))
    assert {"jax"} <= named <= set(EXTRAS)


def test_without_network_the_advisories_are_one_line(tmp_path):
    # In an environment where all is installed; nothing listens on port 9.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    for name in ("bin/pip", ".audit"):
        (tmp_path / name).touch()
    address = "http://127.0.0.1:9/"
    command = ["make", "--silent", "advisories", f"VENV={tmp_path}", f"ADVISORIES={address}"]
    # Below another make, as in `make test`, a make says how deep it is.
    alone = {
        name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")
    }
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, env=alone)
    assert done.returncode != 0 and done.stdout == ""
    first, *others = done.stderr.splitlines()
    assert first == f"error: no network: the advisories at {address} cannot be reached"
    assert all(line.startswith("make: ") for line in others)


def test_the_citation_names_the_version_and_the_license():
    text = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {keras_actrec.__version__}\n" in text
    assert "\nlicense: Apache-2.0\n" in text
