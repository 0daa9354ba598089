"""Make the site: `make docs`. Pages go to build/docs/pages, the site of them to build/docs/site.

The guides in this folder are taken as they are. Written by this program is what stands elsewhere
already: the notebooks of examples/, the models from their cards and recipes, the papers' tables and the
studies from tuning/, the commands from the command line, the keys of recipes from their types, the
messages of errors from the source, and Python from its docstrings.
"""

import argparse
import ast
import base64
import functools
import importlib
import inspect
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

os.environ.setdefault("KERAS_BACKEND", "jax")

import tomli_w
import typer

import keras_actrec
from keras_actrec.cli.main import app
from keras_actrec.training import tables

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "docs"
PAGES = BUILD / "pages"
CARDS = sorted((ROOT / "zoo").glob("*/README.md"))
EXAMPLES = ROOT / "examples"
BORROWED = ("results", "extras")  # tables between marks of README.md, which guides have too
FOREIGN_SCRIPT = "https://unpkg.com/iframe-worker/shim"  # docs/site.js takes its place
INLINE = re.compile(r"(?<!</span>)<code>([^<]+)</code>")  # code in a text
SHORT = 25  # characters of it that stay in one line
NUMBERS = re.compile(r"<td>(?=[\d.x±+ to-]{3,20}</td>)")  # a cell with one, a size or from one to another
# In what is said of a recipe: code that is marked, a file, an option with its value.
OF_RECIPE = re.compile(
    r"`[^`]+`|(?P<file>(?:zoo/\w+/)?\w+\.(?:toml|md))|--set (?:'[^']*'|\S+=\S*[^\s.,;:])|--[a-z-]+"
)
TUNING = ROOT / "tuning"
STUDIES = [file for file in sorted(TUNING.rglob("*/README.md")) if TUNING / "papers" not in file.parents]
# Of layers, whose docstrings tell of `call`: its arguments, and what comes back, which has no type there.
CALL_ARGUMENTS = re.compile(
    r"<details[^>]*>\s*<summary>Call arguments</summary>\s*<p>(.*?)</p>\s*</details>", re.DOTALL
)
UNTYPED = re.compile(r'(<li class="doc-section-item field-body">\s*)–')
# What an error of ours is raised as, and which argument the message is.
RAISED = {
    "UserError": 0,
    "VideoError": 2,
    "MisfitError": 0,
    "BadDataError": 0,
    "LostChiefError": 0,
    "CutOffError": 0,
}

RECIPES = """\
# Recipes

A recipe is TOML: what is trained, on what, and how. `keras-actrec init --data VIDEOS --out
mine.toml` writes one for your data, with reasons; those that come along stand on the models' pages.
An unknown key or a value out of range is an error that names the nearest. `--set train.epochs=6`
changes a value on the command line, `--set data.manifest=` takes one out. One of `[clip]`,
`[skeleton]` and `[features]` says what the data are.
"""
MESSAGES = """\
# Messages

An error that you can put right is one line that names the thing and what to do, and a command ends with
a status that is not zero. Search this page for a piece of yours; `…` stands for a name, a number or a value.
Anything else that ends with a traceback is a mistake of the library: please report it with the
command and the traceback.
"""


def write(name: str, text: str) -> None:
    """Write a page."""
    path = PAGES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def cell(text: Any) -> str:
    """A text as it may stand in a table."""
    return str(text).replace("|", "\\|").replace("\n", " ").strip()


def at_home(text: str, where: Path, pages: dict[Path, str], page: str) -> str:
    """A text of the repository as a page: links go to pages, or, where there is none, are words.

    Args:
        text: Markdown.
        where: the folder that its links start from.
        pages: of each file that is a page its name.
        page: the name of this one.
    """

    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if re.match(r"[a-z]+:|#|reference/", target):  # from elsewhere, or made by this program
            return found[0]
        file, _, anchor = target.partition("#")
        path = (where / file).resolve()
        if picture and path.is_file():
            return shown(path, words, page)
        if path in pages:
            to = os.path.relpath(pages[path], os.path.dirname(page) or ".")
            return f"[{words}]({to}{'#' * bool(anchor)}{anchor})"
        return f"`{words}`" if words.endswith(path.name) else words

    return re.sub(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", link, text)


def shown(path: Path, words: str, page: str) -> str:
    """A picture of the repository on a page; beside it may lie one for dark pages."""
    kinds = {path: ""}
    if (dark := path.with_stem(f"{path.stem}-dark")).is_file():
        kinds = {path: "#only-light", dark: "#only-dark"}
    found = []
    for each, kind in kinds.items():
        copy = _made("pictures") / "-".join(each.relative_to(ROOT).parts)
        shutil.copy(each, copy)
        found.append(f"![{words}]({os.path.relpath(copy, (PAGES / page).parent)}{kind})")
    return "".join(found)


def copy_texts() -> tuple[list[str], list[tuple[str, str]]]:
    """Guides, cards and papers. Returns the names of the models and, of the papers' pages, title and name."""
    guides = sorted((ROOT / "docs").glob("*.md"))
    papers = [TUNING / "papers" / f"{name}.md" for name in ("README", "ELEMENTS", "CLAIMS")]
    papers.append(TUNING / "README.md")
    names = ("index", "elements", "claims", "studies")
    pages = {guide: guide.name for guide in guides}
    pages |= {card: f"models/{card.parent.name}.md" for card in CARDS}
    pages |= dict(zip(papers, [f"papers/{name}.md" for name in names], strict=True))
    pages |= {study: f"papers/{'_'.join(study.parent.relative_to(TUNING).parts)}.md" for study in STUDIES}
    pages[ROOT / "README.md"] = "index.md"
    formats = ROOT / "benchmarks" / "exports.md"
    pages[formats] = "reference/formats.md"
    for card in CARDS:  # what is a recipe's file in a card is a section here
        for file in card.parent.glob("*.toml"):
            pages[file] = f"{pages[card]}#{card.parent.name}{file.stem}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    titles = {}
    for path in [*guides, *CARDS, *papers, *STUDIES, formats]:
        text = path.read_text(encoding="utf-8")
        titles[path] = text.partition("\n")[0].removeprefix("# ").replace("`", "")
        text = at_home(text, path.parent, pages, pages[path])
        for name in BORROWED:
            table = readme.partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0].strip()
            text = text.replace(f"<!-- {name} -->", at_home(table, ROOT, pages, pages[path]))
        if path in CARDS:
            text += "\n## Recipes in full\n"
            for file in sorted(path.parent.glob("*.toml")):
                told = at_home(told_recipe(file), file.parent, pages, pages[path])
                text += f"\n### `{path.parent.name}/{file.stem}`\n\n{told}\n"
        write(pages[path], text)
    return [card.parent.name for card in CARDS], [(titles[path], pages[path]) for path in [*papers, *STUDIES]]


def told_recipe(file: Path) -> str:
    """A recipe in Markdown: its comments on top as text, commands and lists, then its tables."""
    lines = file.read_text(encoding="utf-8").splitlines()
    top = [line[1:] for line in itertools.takewhile(lambda line: line.startswith("#"), lines)]

    def kind(line: str) -> str:
        if line.startswith("   "):
            return "command" if line.split()[0] == "keras-actrec" else "change"
        return "words" if line else ""

    def marked(words: str) -> str:
        def mark(found: re.Match[str]) -> str:
            if not found["file"]:
                return found[0] if found[0].startswith("`") else f"`{found[0]}`"
            path = ROOT / found[0] if "/" in found[0] else file.parent / found[0]
            name = path.parent.name + (f"/{path.stem}" if path.suffix == ".toml" else "")
            return f"[{name}]({os.path.relpath(path, file.parent)})"

        return OF_RECIPE.sub(mark, words)

    parts = []
    for each, found in itertools.groupby(top, kind):
        group = [line.strip() for line in found]
        if each == "words":
            parts.append(marked(" ".join(group)))
        elif each == "command":
            parts.append("\n".join(["```bash", *group, "```"]))
        elif each == "change":
            changes = [re.split(r"\s{2,}", line, maxsplit=1) for line in group]
            parts.append("\n".join(" ".join([f"- `{how}`", *map(marked, what)]) for how, *what in changes))
    tables = "\n".join(lines[len(top) :]).strip()
    return "\n\n".join([*parts, f"``` {{.toml .recipe}}\n{tables}\n```"])


def write_notebooks() -> list[tuple[str, str]]:
    """The notebooks with their outputs. Returns title and name of each page."""
    pages = []
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for title, name in re.findall(r"\[([^\]]+)\]\((notebooks/\w+)\.ipynb\)", listed):
        file = EXAMPLES / f"{name}.ipynb"
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        text = []
        for cell in cells:
            source = "".join(cell["source"])
            text += [source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```", ""]
            for number, output in enumerate(cell.get("outputs", ())):
                text += [_output(output, f"{file.stem}-{cell['id']}-{number}.png", f"{name}.md"), ""]
        text += [f"[The notebook]({file.name})", ""]
        shutil.copy(file, _made("notebooks") / file.name)
        pages.append((title, f"{name}.md"))
        write(pages[-1][1], "\n".join(text))
    return pages


def _output(output: dict[str, Any], picture: str, page: str) -> str:
    """What a cell has printed or shown."""
    data, words = output.get("data", {}), "what the cell above shows"
    if "image/png" in data:
        png = base64.b64decode("".join(data["image/png"]))
        for figure in sorted((ROOT / "docs" / "figures").glob("*.png")):
            if figure.read_bytes() == png:
                return shown(figure, words, page)
        (_made("pictures") / picture).write_bytes(png)
        return f"![{words}](../pictures/{picture})"
    printed = "".join(output.get("text") or data["text/plain"]).rstrip()
    return f"``` {{.text .output}}\n{printed}\n```"


def _made(folder: str) -> Path:
    """A folder of the pages."""
    (PAGES / folder).mkdir(exist_ok=True)
    return PAGES / folder


def told_default(value: Any) -> str:
    """A default of an option, where there is one to tell."""
    return f"`{value}`" if value not in (None, False, (), []) else ""


def write_commands() -> None:
    """The commands with their arguments and options."""
    group: Any = typer.main.get_command(app)
    text = ["# Commands", "", "`keras-actrec COMMAND --help` shows the same on the terminal.", ""]
    for name, command in group.commands.items():
        context = command.context_class(command, info_name=f"keras-actrec {name}")
        usage = command.get_usage(context).removeprefix("Usage: ")
        usage = re.sub(r"\{(\w+)\}|(?<=\[)(\w+)(?=\])", lambda found: found[found.lastindex].upper(), usage)
        text += [
            f"## {name}",
            "",
            (command.help or "").replace("\b", "").strip(),
            "",
            f"```text\n{usage}\n```",
            "",
        ]
        rows = [
            (
                " ".join(f"`{each}`" for each in parameter.opts + parameter.secondary_opts)
                if parameter.param_type_name == "option"
                else f"`{(parameter.metavar or parameter.name or '').upper()}`",
                getattr(parameter, "help", None) or "",
                "needed" if parameter.required else told_default(parameter.default),
            )
            for parameter in command.params
            if parameter.name != "help" and not getattr(parameter, "hidden", False)
        ]
        text += ["| argument | means | default |", "|---|---|---|"]
        text += [f"| {' | '.join(cell(each) for each in row)} |" for row in rows] + [""]
    write("reference/commands.md", "\n".join(text))


def type_name(kind: Any) -> str:
    """A type as users write its values."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{toml(part)}`" for part in parts)
    if origin is Annotated:
        return type_name(parts[0])
    if origin is dict:
        return f"a table, each {type_name(parts[1])}"
    if origin in (list, tuple):
        return f"a list, each {type_name(parts[0])}"
    if parts:
        return " or ".join(type_name(part) for part in parts if part is not type(None))
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(kind, kind.__name__)


def toml(value: Any) -> str:
    """A value in TOML, in one line."""
    text = "{}" if value == {} else tomli_w.dumps({"x": value}).removeprefix("x = ").strip()
    return re.sub(r"\s+", " ", re.sub(r"(?<=\[)\s+|,?\s+(?=\])", "", text))


_NO_BOUND = 1e30  # more than that is said of a number so that it is finite
# An item of a list in a docstring: a name, and what is said of it on this and on further lines.
ITEM = r"^    (\w+): (.*(?:\n {8}.*)*)"


def meanings(thing: Any) -> dict[str, str]:
    """What the arguments or attributes in a docstring mean."""
    found = {}
    for part in re.findall(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", inspect.getdoc(thing) or "", re.M):
        found |= {name: " ".join(words.split()) for name, words in re.findall(ITEM, part, re.M)}
    return found


def told_of(table: type) -> tuple[str, dict[str, str]]:
    """What a table's docstring says in Markdown, but for what it and what it names say of keys."""
    text, keys = inspect.getdoc(table) or "", set(getattr(table, "model_fields", ()))
    shared = [inspect.getdoc(base) or "" for base in table.__mro__[1:] if base.__module__ == table.__module__]
    named = [getattr(keras_actrec.data, name, None) for name in re.findall(r"`(\w+)`", text)]
    known = {name: words for thing in named if callable(thing) for name, words in meanings(thing).items()}
    for told in (*shared, text):
        known |= {name: " ".join(words.split()) for name, words in re.findall(ITEM, told, re.M)}
    paragraphs = []
    for paragraph in re.sub(r"^`\[\w+\]`[:,] ", "", text).split("\n\n"):
        head, *items = re.split(r"\n(?=    \w+: )", paragraph)
        left = [item for item in items if item.partition(":")[0].strip() not in keys]
        if left or not items:  # of a list of keys alone nothing is left
            listed = [re.sub(r"\s+", " ", re.sub(ITEM, r"- `\1`: \2", item)) for item in left]
            paragraphs.append("\n".join([head, *([""] if listed else []), *listed]))
    about = "\n\n".join(paragraphs)
    for name in re.findall(r"`([A-Z]\w+|read_set|split_manifest)`", about):
        for package in ("data", "training"):
            if name in importlib.import_module(f"keras_actrec.{package}").__all__:
                link = f"keras_actrec.{package}.md#keras_actrec.{package}.{name}"
                about = about.replace(f"`{name}`", f"[`{name}`]({link})")
    return about[:1].upper() + about[1:], known


def bounds_of(field: Any) -> str:
    """Between what a number must be."""
    return ", ".join(
        f"{words} {getattr(rule, sign)}"
        for rule in field.metadata
        for sign, words in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
        if getattr(rule, sign, None) is not None and getattr(rule, sign) < _NO_BOUND
    )


def default_of(key: str, value: Any) -> str:
    """What a key is where it is left out, with some choices of another key."""
    if value is not None:
        return f"`{toml(value)}`"
    return ", ".join(
        f"`{toml(keys[key])}` with `{choice}`"
        for choices in tables.GOES_WITH.values()
        for choice, keys in choices.items()
        if key in keys
    )


def write_recipes() -> None:
    """The keys of recipes, from their types, and what they mean, from docstrings."""
    text = [RECIPES]
    for name, field in tables.Recipe.model_fields.items():
        table = next(
            part for part in (field.annotation, *get_args(field.annotation)) if hasattr(part, "model_fields")
        )
        about, known = told_of(table)
        text += [f"## `[{name}]`", "", about, "", "| key | means | values | default |", "|---|---|---|---|"]
        for key, each in table.model_fields.items():
            values = ", ".join(filter(None, [type_name(each.annotation), bounds_of(each)]))
            default = "needed" if each.is_required() else default_of(key, each.default)
            text.append(f"| `{key}` | {' | '.join(cell(part) for part in (known[key], values, default))} |")
        text.append("")
    write("reference/recipes.md", "\n".join(text))


def texts(node: ast.expr, said: dict[str, list[ast.expr]]) -> list[str]:
    """What a message can read, with `…` for what is filled in; empty where it is made elsewhere.

    Args:
        node: the message.
        said: of each name, what is assigned to it.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name):
        found = [text for value in said.get(node.id, ()) for text in texts(value, {})]
        return found if any(found) else []  # what is empty at first is filled in elsewhere
    if isinstance(node, ast.IfExp):
        return texts(node.body, said) + texts(node.orelse, said)
    if isinstance(node, ast.FormattedValue):
        return texts(node.value, said)
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    read = [texts(part, said) for part in parts]
    if not any(read):
        return []
    return ["".join(each) for each in itertools.product(*(part or ["…"] for part in read))]


@functools.cache
def assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """Of each name, what is assigned to it in a module or a function."""
    said: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and value is not None:
                said.setdefault(target.id, []).append(value)
    return said


def messages() -> dict[str, list[str]]:
    """Of each module the messages of the errors that it makes."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "keras_actrec").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        within = {}  # which function a node is in
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                within |= dict.fromkeys(ast.walk(function), function)
        for node in ast.walk(tree):
            called = getattr(node, "func", None)
            place = RAISED.get(getattr(called, "id", getattr(called, "attr", "")))
            if isinstance(node, ast.Call) and place is not None and len(node.args) > place:
                for text in texts(node.args[place], assigned(within.get(node, tree))):
                    if len(re.findall("[A-Za-z]", text)) > 5:
                        found.setdefault(module, set()).add(re.sub("…+", "…", text))
    return {module: sorted(lines) for module, lines in found.items()}


# Which part of the library a module belongs to, as its users see it; the first that fits.
PARTS = (
    ("Commands", ("cli", "_")),
    (
        "Files, folders and data sets",
        ("data.datasets", "data.manifest", "data.splits", "data.sources", "data.audit"),
    ),
    ("Videos, skeletons and features", ("data",)),
    ("Recipes and training", ("training",)),
    ("Models and layers", ("zoo", "layers", "backbones")),
    ("Model files and checkpoints", ("checkpoints", "recognizer", "hub", "prediction", "scoring")),
    ("Scores", ("evaluation",)),
    ("Studies and papers", ("tuning", "reproduction")),
    ("Explanations and pages", ("insight",)),
    ("Streams and files for other programs", ("deploy",)),
    ("All others", ("",)),
)


def write_messages() -> None:
    """What the library says when something is wrong."""
    text = [MESSAGES]
    left = messages()
    for title, starts in PARTS:
        here = [module for module in left if module.removeprefix("keras_actrec.").startswith(starts)]
        lines = sorted({line for module in here for line in left.pop(module)}, key=str.lower)
        if lines:
            text += [f"## {title}", "", *(f"- `` {line} ``" for line in lines), ""]
    write("reference/messages.md", "\n".join(text))


def write_api() -> list[tuple[str, str]]:
    """A page for each public package. Returns title and name of each."""
    pages = []
    for package in ("", *keras_actrec.__all__):
        if not (ROOT / "keras_actrec" / package).is_dir():
            continue
        module = f"keras_actrec.{package}".removesuffix(".")
        names = importlib.import_module(module).__all__
        text = [f"# `{module}`", ""]
        for name in sorted(names, key=str.lower):
            home = f"{module}.{name}"
            if package and (ROOT / "keras_actrec" / package / f"{name}.py").exists():
                home += f".{name}"  # of a name that is a module's too, the module would be shown
            if package or not (ROOT / "keras_actrec" / name).is_dir():
                text += [f"::: {home}", ""]
        pages.append((module, f"reference/{module}.md"))
        write(pages[-1][1], "\n".join(text))
    return pages


def write_settings(models: list[str], **titled: list[tuple[str, str]]) -> Path:
    """Settings of the site with all its pages, lists of which have a name in docs/zensical.toml."""
    settings = tomllib.loads((ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8"))
    lists: dict[str, list[dict[str, Any]]] = {
        "MODELS": [{name: f"models/{name}.md"} for name in models],
        **{key.upper(): [{title: name} for title, name in pages] for key, pages in titled.items()},
    }

    def fill(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {title: fill(value) if isinstance(value, list) else lists.get(value, value)}
            for item in items
            for title, value in item.items()
        ]

    project = settings["project"]
    project["nav"] = fill(project["nav"])
    project |= {"docs_dir": "pages", "site_dir": "site"}
    project["plugins"]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    file = BUILD / "zensical.toml"
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    return file


def make_pages() -> Path:
    """Write all pages. Returns the file of the site's settings."""
    shutil.rmtree(BUILD, ignore_errors=True)
    PAGES.mkdir(parents=True)
    for name in ("site.css", "site.js"):
        shutil.copy(ROOT / "docs" / name, PAGES)
    models, papers = copy_texts()
    write_commands()
    write_recipes()
    write_messages()
    return write_settings(models, papers=papers, notebooks=write_notebooks(), api=write_api())


def whole(found: re.Match[str]) -> str:
    """Code in a text: if short it stays in one line, if long its options do, which begin with dashes."""
    if len(found[1]) <= SHORT:
        return f'<code class="short">{found[1]}</code>'
    return re.sub(r"(?<!\S)--[\w-]+", r'<span class="short">\g<0></span>', found[0])


def listed(found: re.Match[str]) -> str:
    """Call arguments as a list, as the others are."""
    items = (item.partition(": ") for item in re.split(r"\n(?=\w+: )", found[1]))
    lines = "".join(f"<li><strong><code>{name}</code></strong> – {words}</li>" for name, _, words in items)
    return f'<p><span class="doc-section-title">Call arguments:</span></p><ul>{lines}</ul>'


def finish(site: Path) -> None:
    """Take out what needs a network or to know where the site will be, and say where lines may break."""
    shutil.copy(ROOT / "docs" / "404.html", site)
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        ours = "../" * len(page.relative_to(site).parents[1:]) + "site.js"
        text = text.replace(FOREIGN_SCRIPT, ours)
        text = UNTYPED.sub(r"\1", CALL_ARGUMENTS.sub(listed, text))
        text = NUMBERS.sub('<td class="short">', INLINE.sub(whole, text))
        text = re.sub(r"</code>\s+\)", "</code>)", text)
        text = re.sub(r">\w+\.toml</a>", lambda found: found[0].replace("_", "_<wbr>"), text)
        page.write_text(text, encoding="utf-8")


def main() -> int:
    """Make the pages and the site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="show the site at http://localhost:8000")
    serve = parser.parse_args().serve
    settings = make_pages()
    program = Path(sys.executable).with_name("zensical")
    status = subprocess.call([program, "build", "--strict", "--clean", "--config-file", settings], cwd=BUILD)
    finish(BUILD / "site")
    if serve and not status:
        server = ["-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", str(BUILD / "site")]
        os.execv(sys.executable, [sys.executable, *server])
    return status


if __name__ == "__main__":
    sys.exit(main())
