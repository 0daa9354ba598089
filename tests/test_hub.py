"""Addresses on the hub, against a local double with the interface of huggingface_hub."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_actrec
from keras_actrec import Recognizer, UserError, zoo
from keras_actrec.data import ClipPreprocessor, ClipTransform, Sampling
from keras_actrec.hub import Address, parse_address


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder a repository; what was asked for is in `asked`."""
    asked = []

    def hf_hub_download(repo_id, filename, *, revision=None):
        asked.append((repo_id, filename, revision))
        file = tmp_path / "hub" / repo_id / filename
        if not file.exists():
            raise FileNotFoundError(f"404 Client Error.\n\nEntry Not Found for url: {repo_id}")
        return str(file)

    class HfApi:
        def __init__(self, token=None):
            asked.append(token)

        def create_repo(self, repo_id, *, private=None, exist_ok=False):
            if repo_id.startswith("other/"):
                raise PermissionError("403 Forbidden")
            asked.append((repo_id, private, exist_ok))
            (tmp_path / "hub" / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            return f"https://hub/{repo_id}"

        def file_exists(self, repo_id, filename):
            return (tmp_path / "hub" / repo_id / filename).exists()

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, tmp_path / "hub" / repo_id, dirs_exist_ok=True)

    double = SimpleNamespace(hf_hub_download=hf_hub_download, HfApi=HfApi)
    monkeypatch.setitem(sys.modules, "huggingface_hub", double)
    return SimpleNamespace(asked=asked, folder=tmp_path / "hub")


@pytest.fixture
def recognizer():
    model = zoo.softmax_regression(
        2, input_shape=(3, 8, 8, 3), backbone=keras.Sequential([keras.Input((8, 8, 3))])
    )
    return Recognizer(model, ("clap", "wave"), ClipPreprocessor(Sampling(3), ClipTransform(8)))


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "path, address",
    [
        ("hf://user/name", Address("user/name", "model.keras", None)),
        (Path("hf://user/name"), Address("user/name", "model.keras", None)),
        ("hf://user/name@v1", Address("user/name", "model.keras", "v1")),
        ("hf://user/name/big.keras", Address("user/name", "big.keras", None)),
        ("hf://user/name@v1/in/big.keras", Address("user/name", "in/big.keras", "v1")),
        ("model.keras", None),
        ("hf/model.keras", None),
    ],
)
def test_an_address_names_a_repository_a_file_and_a_revision(path, address):
    assert parse_address(path) == address


@pytest.mark.no_backend
@pytest.mark.parametrize("path", ["hf://", "hf://user", "hf://user/name/file.h5", "hf://user/name/"])
def test_what_is_no_address_is_refused(path):
    with pytest.raises(UserError, match="an address on the hub is hf://user/name"):
        keras_actrec.load(path)


def test_what_was_pushed_is_loaded(hub, recognizer):
    assert recognizer.push("hf://user/name", private=True, token="secret") == "https://hub/user/name"
    assert hub.asked == ["secret", ("user/name", True, True)]
    found = keras_actrec.load("hf://user/name@main")
    assert hub.asked[-1] == ("user/name", "model.keras", "main")
    assert found.class_names == ("clap", "wave") and found.preprocessor == recognizer.preprocessor
    clip = np.arange(3 * 8 * 8 * 3, dtype="float32").reshape(1, 3, 8, 8, 3) % 255
    np.testing.assert_array_equal(found.model.predict_on_batch(clip), recognizer.model.predict_on_batch(clip))
    page = (hub.folder / "user/name/README.md").read_text(encoding="utf-8")
    assert 'keras_actrec.load("hf://user/name")' in page and "2 classes: clap, wave" in page


def test_a_page_that_is_there_stays(hub, recognizer):
    (hub.folder / "user/name").mkdir(parents=True)
    (hub.folder / "user/name/README.md").write_text("mine")
    recognizer.push("hf://user/name/small.keras")
    assert (hub.folder / "user/name/README.md").read_text() == "mine"
    assert (hub.folder / "user/name/small.keras").is_file()


def test_what_the_hub_refuses_is_one_line_with_the_fix(hub, recognizer):
    with pytest.raises(
        UserError, match=r"^model.keras of user/none cannot be downloaded \(FileNotFound.*auth login`$"
    ):
        keras_actrec.load("hf://user/none")
    with pytest.raises(UserError, match=r"^other/name cannot be written \(PermissionError: 403 Forbidden\)"):
        recognizer.push("hf://other/name")
    for address in ("model.keras", "hf://user/name@v1"):
        with pytest.raises(UserError, match="push takes hf://user/name"):
            recognizer.push(address)


@pytest.mark.no_backend
def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'keras_actrec\[hub\]'"):
        keras_actrec.load("hf://user/name")
