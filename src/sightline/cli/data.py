"""`sightline data`: the catalogue of public sets, and a look at one's own files before training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.common import print_json, say, say_next, table_values

if TYPE_CHECKING:
    from sightline.data.check import Check

data = typer.Typer(help="List and fetch public data sets; check your own files before training.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(data, name="data")


@data.command("list")
def list_sets(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """List the public data sets that Sightline knows.

    sightline data list

    sightline data list --json
    """
    from dataclasses import asdict

    from sightline.data.catalogue import DATA_VARIABLE, describe, names

    sets = [describe(name) for name in names()]
    if as_json:
        print_json([asdict(one) for one in sets], indent=2)
        return
    for one in sets:
        print(f"{one.name:16} {one.task:24} {one.title}")
        print(f"{'':16} licence: {one.licence}")
        if any(file.address is None for file in one.files):
            print(f"{'':16} no public address: from {one.homepage} to ${DATA_VARIABLE}/{one.name}")
    say_next("sightline data get NAME")


@data.command("get")
def get_set(name: Annotated[str, typer.Argument(help="A name that `sightline data list` shows.")]) -> None:
    """Fetch a public data set into the cache, verified; print its folder.

    sightline data get multi30k

    SIGHTLINE_DATA=/where/sets/lie sightline data get ko-en-tatoeba
    """
    from sightline.data.catalogue import describe, get

    about = describe(name)
    folder = get(name)
    print(folder)
    say(f"{about.title} Licence: {about.licence}")
    say(f"next: name its files in a configuration as {name}:FILE, as in {name}:{about.files[0].name}")


@data.command("check")
def check(
    source: Annotated[
        str, typer.Argument(help="Your data: source sentences, one file with both sides, texts; images.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="Target sentences, line by line; the classes of an IDX file."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What is to be learned: translation by default; a wrong word lists them all.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns or keys, by number or name: 1,0 or ko,en; the text, then the label.")
    ] = None,
    header: Annotated[
        bool | None, typer.Option(help="Whether the first line names the columns, where it may be a record as well.")
    ] = None,
    validation: Annotated[str | None, typer.Option(help="Validation data, to look for leakage.")] = None,
    test: Annotated[str | None, typer.Option(help="Test data, to look for leakage.")] = None,
    test_source: Annotated[str | None, typer.Option(help="Test sources, to look for overlap.")] = None,
    test_target: Annotated[str | None, typer.Option(help="Test targets.")] = None,
    fix: Annotated[
        str | None,
        typer.Option(
            metavar="OUT",
            help="Write what training would read: no unreadable, empty, duplicate or leaking records. The suffix says "
            "the form; in a .tsv tabs and line breaks become spaces.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Look over data before training: counts, lengths, labels, duplicates, leakage, what looks wrong.

    sightline data check train.ko train.en --test-source test.ko --test-target test.en

    sightline data check pairs.tsv --columns 1,0 --fix clean.tsv

    sightline data check reviews.csv --task classification --columns text,label --test test.csv

    sightline data check photos --task image_classification --test photos-test
    """
    from sightline.data.check import Check
    from sightline.data.check_sample import read_sample
    from sightline.data.sources import resolve
    from sightline.data.table_writing import require_writable
    from sightline.errors import UsageError, nearest
    from sightline.tasks.registry import DEFAULT, TASKS

    name = task or DEFAULT
    if name not in TASKS:
        raise UsageError(f'--task: there is no "{name}"{nearest(name, TASKS)}')
    spec = TASKS[name]
    data = spec.check
    if test_target is not None and test_source is None:
        raise UsageError(f"--test-target: {test_target} is of test sources; name them with --test-source")
    if test is not None and test_source is not None:
        raise UsageError(f"--test: {test} and --test-source {test_source} are both test data; give one of them")
    if data is None:
        raise UsageError(f"--task: the data of task {name} cannot be checked; `sightline train --dry-run` reads them")
    for option, value in (("TARGET", target), ("--test-target", test_target)):
        if value is not None and len(spec.data_files) < 2:
            raise UsageError(f"{option}: is of translation; the data of task {name} are in one file, leave it out")
    if target is not None and (validation or test):
        option = "--validation" if validation else "--test"
        raise UsageError(f"{option}: names one file; of aligned files there is --test-source with --test-target")
    if fix is not None and not data.writable:
        raise UsageError(f"--fix: no table holds {data.unit}; take away by hand what is named")
    if fix is not None:
        _require_new(Path(fix))
        require_writable(Path(fix), data.lines is not None)

    chosen = table_values(spec, columns, header)

    def files(source: str, target: str | None = None) -> Any:
        return data.source.from_arguments(**{**spec.init.files(source, target), **chosen})

    hint = _other_task(name, read_sample(resolve(source))) if target is None and ":" not in source else None
    if hint:
        say(f"hint: {source} {hint}")
    train = [files(source, target)]
    others = {"validation": [files(validation)]} if validation else {}
    if test or test_source:
        others["test"] = [files(test)] if test else [files(str(test_source), test_target)]
    for line in dict.fromkeys(line for one in (train, *others.values()) for line in one[0].notices()):
        say(line)
    checked = Check(data, train, others)
    report = checked.report()
    if as_json:
        left_out = checked.left_out() if data.writable else None
        print_json({"task": name, **report.as_dict(), "hint": hint, "left_out": left_out, "written": fix}, indent=2)
    else:
        print("\n".join(report.lines()))
    if fix is not None:
        _write(checked, Path(fix), data.lines)
    elif not report.readable:
        which, fixing = ("lines", "; --fix OUT writes all that can be read") if data.writable else ("files", "")
        say(f"next: mend these {which} or take them out, and check again{fixing}")
        raise typer.Exit(1)
    if as_json:
        return
    words = ["--source", fix or source, *(["--target", target] if target and not fix else [])]
    names = _columns_of(Path(fix), checked.names, spec) if fix else columns
    words += ["--columns", names] if names else []
    words += [] if header is None or fix else ["--header" if header else "--no-header"]
    words += ["--task", name] if name != DEFAULT else []
    say_next(f"sightline init my.toml {shlex.join(words)}")


def _require_new(path: Path) -> None:
    from sightline.errors import UsageError

    if path.exists():
        raise UsageError(f"--fix: {path} is there already; choose another name, or remove it first")
    if not path.parent.is_dir():
        raise UsageError(f"--fix: there is no folder {path.parent}; make it first")


def _write(checked: Check, path: Path, lines: Any) -> None:
    """Writes what is kept, and says what is not."""
    from sightline.data.table_writing import table_blocks
    from sightline.errors import DataError
    from sightline.train.storage import replace_file

    left_out = checked.left_out()
    count = checked.records - sum(count for reason, count in left_out.items() if reason != "unreadable")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "nothing"
    if not count:
        raise DataError(f"{path}: not written, as no record is left (left out: {reasons})")
    replace_file(path, table_blocks(path, checked.kept(), lines))
    say(f"written: {path}, {count:,} {checked.unit}; left out: {reasons}")


def _columns_of(path: Path, names: tuple[str, ...], spec: Any) -> str | None:
    """How `init` is told the columns of what was written."""
    from sightline.data.sources import format_suffix

    as_lines = format_suffix(path) == ".txt" or (format_suffix(path) == ".tsv" and spec.check.listed)
    return None if spec.init.columns is None or as_lines else ",".join(names)


def _other_task(name: str, sample: Any) -> str | None:
    """That a file looks like the data of another task than this one, where it does not look like its own."""
    from sightline.tasks.registry import TASKS

    own = TASKS[name].check
    if own is None or own.recognises(sample):
        return None
    for other in TASKS.values():
        reason = other.check.recognises(sample) if other.check is not None and other.name != name else ""
        if reason:
            return f"looks like data of task {other.name} ({reason}); check it with --task {other.name}"
    return None
