"""Typed configuration: TOML file or recipe, `key.path=value` overrides, frozen Pydantic models, one-line errors."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, dataclass_transform, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from sightline.errors import SightlineError, UsageError, nearest, require_format

Settings = TypeVar("Settings", bound=BaseModel)

# Version of what the keys of a run's configuration mean. A later version may read one as another default.
FORMAT = 2
FORMAT_KEY = "format"

# What may become of a key once a run has begun: `Field(…, json_schema_extra=EXTEND)` says that its value may be raised,
# FREE that it may be anything. Of all others a change would be another run.
Kind = Literal["fixed", "extend", "free"]
EXTEND: dict[str, JsonValue] = {"change": "extend"}
FREE: dict[str, JsonValue] = {"change": "free"}
LEGEND = (
    "# Once training has begun, [extend] may be raised and [free] be changed, and the run goes on;\n"
    "# [fixed] decides the weights.\n\n"
)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class FrozenMeta(type(BaseModel)):
    """Tells type checkers that fields never change, so that a subclass may narrow the type of one."""


class Frozen(BaseModel, metaclass=FrozenMeta):
    """A record that refuses unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def recipes() -> dict[str, str]:
    """The recipes that come with Sightline: name → TOML text."""
    folder = resources.files("sightline") / "recipes"
    found = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def read(recipe: str) -> tuple[str, str]:
    """(where, TOML text) of a recipe's name or of a TOML file's path.

    Raises:
        UsageError: where there is neither.
    """
    path, known = Path(recipe), recipes()
    if path.suffix == ".toml" or path.exists():
        if path.is_dir():
            raise UsageError(f"{recipe}: is a folder, not a configuration; give a .toml file or a recipe's name")
        try:
            return str(path), path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UsageError(f"{recipe}: no such file; `sightline init {recipe}` writes one to start from") from None
        except UnicodeDecodeError as error:
            raise UsageError(f"{recipe}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
        except OSError as error:
            raise UsageError(f"{recipe}: cannot be read ({error.strerror})") from None
    if recipe not in known:
        raise UsageError(f"{recipe}: no recipe of that name and no such file{nearest(recipe, known)}")
    return recipe, known[recipe]


def parse(where: str, text: str) -> dict[str, Any]:
    """TOML text as nested dictionaries; a syntax error names its line.

    The version of a run's configuration is no key of it.

    Raises:
        UsageError: where it is not TOML.
        LaterVersionError: where a later version of Sightline wrote it.
    """
    try:
        values = load_toml(text, where)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        message = str(error).split(" (at")[0]
        raise UsageError(f"{where}:{line.group(1) if line else 1}: not valid TOML: {message}") from None
    split_format(values, where)
    return values


def load_toml(text: str, where: str, error: type[SightlineError] = UsageError) -> dict[str, Any]:
    """The values of a TOML text. Numbers are those of 64 bits that TOML has.

    Raises:
        tomllib.TOMLDecodeError: where it is not TOML.
        SightlineError: the class `error`, where it is and cannot be read, naming `where`.
    """
    try:
        values = tomllib.loads(text)
        if _has_huge_number(values):
            raise error(f"{where}: a whole number beyond 64 bits; give a smaller one")
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise error(f"{where}: tables or lists are nested too deeply; write it with fewer brackets") from None
    except ValueError:  # thousands of digits
        raise error(f"{where}: a whole number beyond 64 bits; give a smaller one") from None
    return values


def _has_huge_number(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_huge_number, cast("dict[str, object]", value).values()))
    if isinstance(value, list):
        return any(map(_has_huge_number, cast("list[object]", value)))
    return isinstance(value, int) and value.bit_length() > 64


def split_format(values: dict[str, Any], where: str) -> int:
    """Takes the version out of a configuration and gives it back; 1 where there is none.

    Raises UsageError where it is no version, LaterVersionError where it is later than this one.
    """
    version = values.pop(FORMAT_KEY, 1)
    if type(version) is not int or version < 1:
        raise UsageError(f"{where}: {FORMAT_KEY}: not a version: {version!r}; leave it out")
    require_format(where, version, FORMAT)
    return version


def override(values: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """`values` with `key.path=value` assignments applied; a value is TOML, or else a string as it stands."""
    result = _copy(values)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise UsageError(f'"{assignment}": an override is key.path=value, as in training.max_updates=500')
        try:
            value = load_toml(f"value = {text}", f'"{_shortened(assignment)}"')["value"]
        except tomllib.TOMLDecodeError:
            value = text
        _set(result, keys, value, assignment)
    return result


def replaced(values: dict[str, Any], assignments: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of {"key.path": value} in their places."""
    result = _copy(values)
    for path, value in assignments.items():
        _set(result, path.split("."), value, path)
    return result


def _set(values: dict[str, Any], keys: Sequence[str], value: object, told: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise UsageError(f'"{told}": {key} is a value, not a table with keys')
    values[keys[-1]] = value


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the values above in front, table by table."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if type(below[key]) is dict and type(above[key]) is dict:
            both[key] = merged(below[key], above[key])
    return both


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def validate(schema: type[Settings], values: Mapping[str, Any], where: str, text: str = "") -> Settings:
    """`values` as a frozen `schema`; the first thing wrong as one line with file, line, key and the nearest name."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first, more = problems[0], len(problems) - 1
        raise UsageError(_explain(schema, first, where, text) + (f" (and {more} more)" if more else "")) from None


def _explain(schema: type[BaseModel], problem: Any, where: str, text: str) -> str:
    path = [str(part) for part in problem["loc"]]
    fields, shown = _fields_at(schema, path[:-1])
    shown += path[-1:]
    line = line_of(text, shown)
    place = ": ".join([f"{where}:{line}" if line else where, *filter(None, [".".join(shown)])])
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{place}: unknown key{nearest(path[-1], fields)}"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{place}: is missing"
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return f'{place}: no such choice: "{problem["input"]}"{nearest(str(problem["input"]), choices)}'
    if problem["type"] == "union_tag_invalid":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected_tags"])
        return f'{place}.kind: no such choice: "{problem["ctx"]["tag"]}"{nearest(problem["ctx"]["tag"], choices)}'
    if problem["type"] == "union_tag_not_found":
        return f"{place}.kind: is missing"
    if problem["type"] == "value_error":  # one of our own checks, whose message says it all
        return f"{place}: {problem['ctx']['error']}"
    return f"{place}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem['input']!r}"


def _fields_at(schema: type[BaseModel], path: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the keys allowed at `path` of the schema's JSON form, the path as the user's file has it).

    A union's location names the member that was tried; a file has no such key.
    """
    shown: list[str] = []
    document = schema.model_json_schema()
    node: Any = document

    def resolve(node: Any) -> Any:
        while "$ref" in node:
            node = document["$defs"][node["$ref"].split("/")[-1]]
        return node

    for part in path:
        node = resolve(node)
        variants = node.get("discriminator", {}).get("mapping", {})
        if part in variants:
            node = {"$ref": variants[part]}
            continue
        shown.append(part)
        if part.isdigit():
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
            options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
            node = options[0] if options else node
    return list(resolve(node).get("properties", {})), shown


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The line (from 1) of a TOML text that sets the key at `path`, found by its section and name."""
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            section = [part.strip(' "') for part in header.group(1).split(".")]
            if section == list(path):
                return number
        elif key := re.match(r"\s*([\w.\"-]+)\s*=", line):
            found = section + key.group(1).replace('"', "").split(".")
            if found == list(path)[: len(found)] and len(found) > len(section):
                return number
    return None


def to_toml(settings: BaseModel) -> str:
    """The complete configuration as TOML; what is not set (None) is left out."""
    return tomli_w.dumps(_without_none(settings.model_dump(mode="json")))


def commented(settings: BaseModel, without: Collection[str] = ()) -> str:
    """The same with each field's description above it, for a user to edit; `without` these tables."""
    return LEGEND + "\n".join(_commented(settings, [], "fixed", without)).strip() + "\n"


def _commented(settings: BaseModel, path: list[str], above: Kind, without: Collection[str] = ()) -> list[str]:
    lines: list[str] = []
    tables: list[str] = []
    for name, field in type(settings).model_fields.items():
        if name in without:
            continue
        value, kind = getattr(settings, name), kind_of(field, above)
        if isinstance(value, BaseModel):
            inner = [*path, name]
            tables += ["", *_comment(field.description or ""), f"[{'.'.join(inner)}]", *_commented(value, inner, kind)]
            continue
        about = _comment(f"{field.description or ''} [{kind}]".lstrip(), _choices(field.annotation))
        dumped = _without_none(settings.model_dump(mode="json", include={name}))
        nested = name in dumped and isinstance(dumped[name], dict)
        if nested:
            for key, table in dumped[name].items():
                tables += ["", *about, f"[{'.'.join([*path, name, key])}]", tomli_w.dumps(table).strip()]
        elif name in dumped:
            lines += [*about, f"{name} = {_inline(dumped[name])}"]
        else:
            lines += [*about, f"# {name} ="]
    return lines + tables


def _choices(annotation: Any) -> list[str]:
    """The words that a field takes, where it takes one of several."""
    found = [
        one for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal for one in get_args(part)
    ]
    return [str(one) for one in found] if len(found) > 1 else []


def _comment(about: str, choices: Sequence[str] = ()) -> list[str]:
    """A description in lines of a comment, with the words to choose from where it does not name them all."""
    named = set(re.findall(r"[\w.-]+", about))
    told = f"one of {', '.join(choices)}" if not named.issuperset(choices) else ""
    return [f"# {line}" for one in (about, told) if one for line in textwrap.wrap(one, 118, break_on_hyphens=False)]


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            return "[\n" + "".join(f"  {_inline(item)},\n" for item in value) + "]"
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return tomli_w.dumps({"v": value}).strip().removeprefix("v = ")


@dataclass(frozen=True)
class Change:
    """A key whose value is another one, and what may become of it once a run has begun."""

    key: str
    before: Any
    after: Any
    kind: Kind

    def __str__(self) -> str:
        return f"{self.key}: {self.before!r} → {self.after!r}"


def kind_of(field: FieldInfo, above: Kind = "fixed") -> Kind:
    """What may become of a key in a table of the kind `above`."""
    extra = field.json_schema_extra
    marked = extra.get("change") if isinstance(extra, dict) else None
    return "extend" if marked == "extend" else "free" if marked == "free" else above


def changes(before: BaseModel, after: BaseModel, path: str = "", above: Kind = "fixed") -> list[Change]:
    """Where two complete configurations differ, key by key."""
    found: list[Change] = []
    olds, news = before.model_dump(mode="json"), after.model_dump(mode="json")
    fields = {**type(before).model_fields, **type(after).model_fields}
    for name, field in fields.items():
        key, kind = f"{path}{name}", kind_of(field, above)
        old, new = getattr(before, name, None), getattr(after, name, None)
        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            found += changes(old, new, f"{key}.", kind)
        elif olds.get(name) != news.get(name):
            found.append(Change(key, olds.get(name), news.get(name), kind))
    return found


def fixed_settings(settings: BaseModel) -> dict[str, Any]:
    """The keys that decide the weights, each as "training.learning_rate" with its JSON value."""
    return {key: value for key, value, kind in _leaves(settings) if kind == "fixed"}


def free_settings(settings: BaseModel) -> dict[str, Any]:
    """The keys that the weights do not depend on, likewise; those of its training and of its data left out."""
    apart = ("training.", "data.")
    return {key: value for key, value, kind in _leaves(settings) if kind == "free" and not key.startswith(apart)}


def _leaves(settings: BaseModel, path: str = "", above: Kind = "fixed") -> Iterator[tuple[str, Any, Kind]]:
    """(key, JSON value, what may become of it) of all keys that are no tables."""
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, kind = getattr(settings, name), kind_of(field, above)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}{name}.", kind)
        else:
            yield f"{path}{name}", values[name], kind


def _copy(values: Any) -> Any:
    return {key: _copy(value) for key, value in values.items()} if isinstance(values, dict) else values


def _without_none(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _without_none(value) for key, value in values.items() if value is not None}
    return [_without_none(value) for value in values] if isinstance(values, list) else values
