"""The site is made, its links lead somewhere, and what its guides and README.md have a reader do runs."""

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args
from urllib.parse import unquote, urldefrag

import pytest

import trees
from browser import NEEDS_CHROMIUM, browsing
from keras_actrec import tuning

ROOT = Path(__file__).parents[1]
TEXTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
}
# Of the commands, those that other tests have: files that are not here, or work that takes long or for ever.
ELSEWHERE = ("gsm.pth.tar", "UTKINECT", "pool.onnx", "web")
# In which order a reader comes by: later pages use the models of earlier ones.
ORDER = ["README.md", "index.md", "videos.md", "skeletons.md"]
# Of each training, to be quick.
SMALL = ("train.epochs=1", "clip.size=32", "model.backbone=efficientnet_lite0:block1_output")
RUN = """
import sys
from keras_actrec.cli.main import app
names = {{}}  # of a page's Python
for kind, todo in {todo!r}:
    print("$", todo, flush=True)
    if kind != "bash":
        exec(todo, names.setdefault(kind, {{}}))
        continue
    try:
        app(todo)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{todo}} ended with {{end.code}}")
"""


@pytest.fixture(scope="module")
def build():
    """The program that makes the site."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(text):
    """The blocks of Markdown, in their order: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(block):
    """The words of each keras-actrec command in a block, without its comment."""
    lines = [shlex.split(line.partition("#")[0].removeprefix(".venv/bin/")) for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "keras-actrec"]


def todo():
    """What the pages have a reader do: commands, made small, each once, and Python."""
    names = ORDER + sorted(set(TEXTS) - set(ORDER))
    done = []
    for name in names:
        for kind, block in blocks(TEXTS[name]):
            if kind == "python":
                done.append((name, block))
            for words in commands(block) if kind == "bash" else ():
                if set(ELSEWHERE) & set(words):
                    continue
                if words[0] in ("train", "extract"):
                    small = SMALL[:1] if "poses" in words else SMALL
                    words = [*words, *(word for change in small for word in ("--set", change))]
                if ("bash", words) not in done:
                    done.append(("bash", words))
    return done


@pytest.mark.no_backend
def test_what_the_pages_say_runs_one_after_the_other(tmp_path, run_python):
    trees.folder(tmp_path / "videos")
    for file in ("clip.mp4", "clips/1.mp4", "clips/2.mp4"):
        trees.video(tmp_path / file, 0)
    trees.poses(tmp_path / "poses")
    steps = todo()
    assert ("bash", ["doctor"]) in steps
    assert any(words[:1] == ["stream"] for kind, words in steps if kind == "bash")
    done = run_python("-c", RUN.format(todo=steps), timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "runs/mine/model.keras",
        "runs/changed/model.keras",
        "mine.toml",
        "audit.json",
        "scores.html",
    ):
        assert (tmp_path / name).is_file(), name


@pytest.mark.no_backend
def test_the_study_in_the_guide_is_one():
    (study,) = [block for kind, block in blocks(TEXTS["search.md"]) if kind == "toml"]
    assert tuning.parse_study(tomllib.loads(study)).title == "How many frames?"


@pytest.mark.no_backend
def test_links_of_the_guides_lead_to_files_here_or_to_the_reference_of_the_site(build):
    for name, text in TEXTS.items():
        folder = ROOT if name == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\(([^)\s#]+)", text):
            if not re.match(r"[a-z]+:|reference/", target):
                assert (folder / target).exists(), (name, target)


@pytest.mark.no_backend
def test_commands_on_the_pages_that_are_not_run_have_options_that_exist(build):
    group = build.typer.main.get_command(build.app)
    shown = re.findall(r"(?:\$ |`)keras-actrec (\w+)([^`\n]*)", "\n".join(TEXTS.values()))
    assert shown
    for name, rest in shown:
        if name == "COMMAND":
            continue
        options = {each for parameter in group.commands[name].params for each in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options | {"--help"}, (name, rest)


class _Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.names = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.names.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        self.loaded += [found.get(name) for name in ("src",) if found.get(name)]
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon", "modulepreload"):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def site(build):
    """Folder of the site, made without a warning."""
    pytest.importorskip("zensical", reason="the extra docs is not installed")
    done = subprocess.run([sys.executable, ROOT / "docs" / "build.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    return build.BUILD / "site"


@pytest.mark.no_backend
def test_links_of_the_site_lead_somewhere_and_nothing_comes_from_elsewhere(site):
    pages = {path: _Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 40
    for path, page in pages.items():
        for each in page.loaded:
            assert not each.startswith(("http:", "https:", "//")), (path, each)
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            file, anchor = urldefrag(unquote(link))
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), (path, link)
            if anchor and target.suffix == ".html" and not anchor.startswith("__"):
                assert anchor in pages[target].names, (path, link)


@pytest.mark.no_backend
def test_a_page_shows_its_own_pictures(site):
    for study in ("hman_frames", "sa_gsm_attention"):
        page = site / "papers" / f"{study}_ego_gestures.html"
        shown = [page.parent / link for link in _Links(page.read_text(encoding="utf-8")).loaded]
        (picture,) = [path for path in shown if path.name.endswith("parallel.png")]
        own = ROOT / "tuning" / study / "ego_gestures" / "parallel.png"
        assert picture.read_bytes() == own.read_bytes(), study


@pytest.mark.no_backend
def test_an_explanation_is_shown_in_the_dark_as_drawn_for_it(site):
    for page in ("index", "why", "notebooks/explain"):
        shown = _Links((site / f"{page}.html").read_text(encoding="utf-8")).loaded
        kinds = dict(Path(link).name.split("#") for link in shown if "explain" in link)
        names = {"docs-figures-explain.png": "only-light", "docs-figures-explain-dark.png": "only-dark"}
        assert kinds == names, page


@NEEDS_CHROMIUM
@pytest.mark.no_backend
def test_the_search_works_where_the_site_is_opened_as_files(site, tmp_path):
    with browsing(tmp_path) as browser:
        browser.open((site / "models" / "hman.html").as_uri())
        found = "[...document.querySelectorAll('body > div')].find(each => each.shadowRoot)?.shadowRoot"
        browser.until(f"!!{found}")
        browser.js("document.querySelector('.md-search__button').click()")
        browser.until(f"{found}.activeElement?.localName === 'input'")
        browser.do("Input.insertText", text="AttentiveRNN")
        browser.until(f"{found}.textContent.includes('keras_actrec.layers')")
        assert all(each.startswith(("file:", "data:", "about:")) for each in browser.requests)
        assert browser.complaints == []


@NEEDS_CHROMIUM
@pytest.mark.no_backend
def test_a_page_that_is_not_there_leads_to_the_start_wherever_the_site_lies(site, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "project").symlink_to(site)

    class Handler(SimpleHTTPRequestHandler):
        error_message_format = (site / "404.html").read_text(encoding="utf-8").replace("%", "%%")

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "served"))
    threading.Thread(target=server.serve_forever).start()
    home = f"http://127.0.0.1:{server.server_port}/project"
    try:
        with browsing(tmp_path / "browser") as browser:
            browser.open(f"{home}/models/none/such.html")
            browser.until(f"document.querySelector('#start').href === '{home}/index.html'")
            assert browser.faults() == []
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.no_backend
def test_all_errors_all_commands_and_all_public_names_have_their_place(build, site):
    text = {
        name: (site / "reference" / f"{name}.html").read_text(encoding="utf-8")
        for name in ("messages", "commands")
    }
    found = build.messages()
    assert sum(map(len, found.values())) > 600
    assert "… cannot be a folder, there is a file: choose another place" in text["messages"]
    assert "the file has zero bytes; get it again or remove it" in text["messages"]  # of a damaged file
    python = (site / "reference" / "keras_actrec.html").read_text(encoding="utf-8")
    assert "A batch of one: an array" in python  # and not a type that ends at the colon
    for command in build.typer.main.get_command(build.app).commands:
        assert f'id="{command}"' in text["commands"], command
    for package in ("layers", "zoo", "data", "training"):
        module = importlib.import_module(f"keras_actrec.{package}")
        page = (site / "reference" / f"keras_actrec.{package}.html").read_text(encoding="utf-8")
        for name in module.__all__:
            assert re.search(rf'id="keras_actrec\.{package}(\.{name})+"', page), name


@pytest.mark.no_backend
def test_keys_of_recipes_are_told_in_the_table_and_what_is_none_above_it(build):
    class Table:
        """`[made]`: up. See `Sampling`.

        Ways:
            slow: one
                after the other.
            fast: all at once.

        Others:
            size: of it, in
                meters.
        """

        model_fields = {"size": None, "frame_step": None}

    about, known = build.told_of(Table)
    assert known["size"] == "of it, in meters." and known["frame_step"].startswith("e, use only every e-th")
    link = "[`Sampling`](keras_actrec.data.md#keras_actrec.data.Sampling)"
    assert about == f"Up. See {link}.\n\nWays:\n\n- `slow`: one after the other.\n- `fast`: all at once."


@pytest.mark.no_backend
def test_comments_on_top_of_a_recipe_become_text(build):
    file = ROOT / "zoo" / "tsn" / "hmdb51.toml"
    commands = re.findall(r"^#   (keras-actrec .*)$", file.read_text(encoding="utf-8"), re.M)
    told = build.told_recipe(file)
    assert len(commands) == 2 and f"```bash\n{commands[0]}\n{commands[1]}\n```\n" in told
    assert "Variants:\n\n- `--set data.split=2` and 3, the other splits\n\n```" in told
    tables = told.partition("``` {.toml .recipe}\n")[2].removesuffix("\n```")
    assert tables.startswith("[model]\n")
    assert tomllib.loads(tables) == tomllib.loads(file.read_text(encoding="utf-8"))
    told = build.told_recipe(ROOT / "zoo" / "conv_attention" / "ucf_sports.toml")
    assert "the split of [hman/ucf_sports](../hman/ucf_sports.toml). Cost:" in told
    assert "pieces of a video; `--set clip.num_clips=25` does." in told


@pytest.mark.no_backend
def test_every_key_of_a_recipe_is_told_and_has_its_default(build):
    for field in build.tables.Recipe.model_fields.values():
        kinds = (field.annotation, *get_args(field.annotation))
        (table,) = [each for each in kinds if hasattr(each, "model_fields")]
        assert set(table.model_fields) <= set(build.told_of(table)[1]), table
    assert build.default_of("streams", ["joints", "bones"]) == '`["joints", "bones"]`'
    assert build.default_of("factor", None) == "`0.1` with `multistep`, `0.1` with `plateau`"
    assert build.default_of("layout", None) == ""


@pytest.mark.no_backend
def test_a_message_in_every_form_is_found(build):
    source = """
def f(x):
    reason = f"it has {x}"
    reason = "no" if x else "none"
    raise UserError(f"{x} is " "wrong")
    raise UserError("a" + f"b {x}" if x else "c")
    raise UserError(f"{reason}; mend it")
    raise UserError(x)
    name = ""
    raise UserError(f"{name}: {x} wrong")
"""
    tree = build.ast.parse(source)
    nodes = [node.exc.args[0] for node in build.ast.walk(tree) if isinstance(node, build.ast.Raise)]
    found = [build.texts(node, build.assigned(tree.body[0])) for node in nodes]
    mended = ["it has …; mend it", "no; mend it", "none; mend it"]
    assert found == [["… is wrong"], ["ab …", "c"], mended, [], ["…: … wrong"]]
