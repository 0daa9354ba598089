"""Changes of a recipe or a study in words, as `--set` takes them: `"train.epochs=6"`."""

import tomllib
from collections.abc import Iterable
from typing import Any, NamedTuple

from keras_actrec._files import check_text, parse_toml
from keras_actrec._text import shown
from keras_actrec.errors import UserError

REMOVED = object()


class Override(NamedTuple):
    """A change. `key` is empty where a whole table is taken out, `value` is `REMOVED` where a key is."""

    table: str
    key: str
    value: Any

    @property
    def name(self) -> str:
        """`"table.key"`, or the table."""
        return f"{self.table}.{self.key}" if self.key else self.table

    @classmethod
    def taking_out(cls, name: str) -> "Override":
        """The change that takes `"table.key"` out."""
        table, _, key = name.partition(".")
        return cls(table, key, REMOVED)

    def apply(self, values: dict[str, Any]) -> bool:
        """Make the change in nested dicts; False where what is taken out was not set."""
        if not self.key:
            return values.pop(self.table, None) is not None
        if self.value is REMOVED:
            held = values.get(self.table)
            return isinstance(held, dict) and held.pop(self.key, None) is not None
        held = values.setdefault(self.table, {})
        if isinstance(held, dict):  # or the table is refused later
            held[self.key] = self.value
        return True


def read_overrides(texts: Iterable[str], example: str) -> list[Override]:
    """Read changes. Values are as in TOML, a bare word is a string, and with no value the key is taken out.

    Args:
        texts: such as `"train.epochs=6"`, `"data.manifest="` or, for a whole table, `"skeleton="`.
        example: for the message.

    Raises:
        UserError: for a text that is none of these.
    """
    return [_read(text, example) for text in texts]


def _read(text: str, example: str) -> Override:
    name, equals, value = (part.strip() for part in text.partition("="))
    table, dot, key = name.partition(".")
    if not (equals and table) or (not key if dot else value):
        raise UserError(
            f"--set takes table.key=value, such as {example}, or table.key= to take the key out. "
            f"Received: {shown(text)}"
        )
    try:
        check_text(name)
        return Override(table, key, _value(value) if value else REMOVED)
    except UserError as error:
        raise UserError(f"--set {name[:80]}: {error}") from error


def _value(text: str) -> Any:
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        check_text(text)
        return text
