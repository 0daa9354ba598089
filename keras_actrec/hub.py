"""Where models are: names of those that come along, and addresses on the Hugging Face Hub, `hf://user/name`."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from keras_actrec._shipped import shipped
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

FILE = "model.keras"  # in a repository, where an address names no other
# `Path` makes one slash of two.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+\.keras))?")
_FORM = "hf://user/name, hf://user/name@revision or hf://user/name/file.keras"


class Address(NamedTuple):
    """A file in a repository, and the branch, tag or commit; None is the newest."""

    repo: str
    file: str = FILE
    revision: str | None = None


def parse_address(path: PathLike) -> Address | None:
    """The address that a path is; None for a path of a file.

    Raises:
        UserError: for what begins as an address and is none.
    """
    if not str(path).startswith("hf:/"):
        return None
    match = _ADDRESS.fullmatch(str(path))
    if match is None:
        raise UserError(f"an address on the hub is {_FORM}. Received: {path}")
    return Address(match["repo"], match["file"] or FILE, match["revision"])


def trained_files() -> dict[str, Path]:
    """The trained models that come along: name, such as `"hman/synthetic"`, to file."""
    files = shipped("recipes", "zoo", "*/*.keras")
    return {f"{path.parent.name}/{path.stem}": path for path in files}


def local(path: PathLike) -> Path:
    """The path of a file: what is there, a model that comes along, or an address, which is downloaded.

    Raises:
        UserError: as `parse_address` and `download`.
    """
    address = parse_address(path)
    if address is not None:
        return download(address)
    path = Path(path)
    return path if path.exists() else trained_files().get(path.as_posix(), path)


def download(address: Address) -> Path:
    """Download a file, once: the hub's library keeps it and asks whether there is a newer one.

    Raises:
        UserError: where it is not there, cannot be reached or may not be read, or the extra is missing.
    """
    hub = _library()
    try:
        return Path(hub.hf_hub_download(address.repo, address.file, revision=address.revision))
    except (OSError, ValueError) as error:
        raise UserError(_refused(f"{address.file} of {address.repo} cannot be downloaded", error)) from error


def push(
    address: str, save: Callable[[Path], None], page: str, *, private: bool = False, token: str | None = None
) -> str:
    """Upload a file, and a page where the repository has none.

    Args:
        address: `hf://user/name`, or with another file than `model.keras`; the repository is made if missing.
        save: called with the path to write the file to.
        page: the text of the page, README.md.
        private: whether a new repository can be seen by its owner alone.
        token: the user's, by default that of `hf auth login`.

    Returns:
        The page's address for a browser.

    Raises:
        UserError: for another address, one with a revision, no access, or where the extra is missing.
    """
    target = parse_address(address)
    if target is None or target.revision:
        raise UserError(f"push takes hf://user/name or hf://user/name/file.keras. Received: {address}")
    api = _library().HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / target.file)
        try:
            url = api.create_repo(target.repo, private=private, exist_ok=True)
            if not api.file_exists(target.repo, "README.md"):
                (Path(folder) / "README.md").write_text(page, encoding="utf-8")
            api.upload_folder(repo_id=target.repo, folder_path=folder, commit_message=f"Upload {target.file}")
        except (OSError, ValueError) as error:
            raise UserError(_refused(f"{target.repo} cannot be written", error)) from error
    return str(url)


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError("hf:// needs the Hugging Face library: pip install 'keras_actrec[hub]'") from error
    return huggingface_hub


def _refused(what: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"{what} ({type(error).__name__}: {reason}): check the name, the network and `hf auth login`"
