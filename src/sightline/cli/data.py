"""`sightline data`: the catalogue of public sets, and a look at one's own files before training."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from sightline.cli.common import parse_columns, print_json, say, say_next

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
    source: Annotated[str, typer.Argument(help="Source sentences, or one file that holds both sides.")],
    target: Annotated[str | None, typer.Argument(help="Target sentences, line by line.")] = None,
    test_source: Annotated[str | None, typer.Option(help="Test sources, to look for overlap.")] = None,
    test_target: Annotated[str | None, typer.Option(help="Test targets.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns or keys of source and target: 1,0 or ko,en.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Look over parallel text before training: counts, lengths, duplicates, overlap, suspicious pairs.

    sightline data check train.ko train.en --test-source test.ko --test-target test.en

    sightline data check pairs.tsv --columns 1,0
    """
    from sightline.data.check import check_pairs
    from sightline.data.pairs import PairSource
    from sightline.errors import UsageError

    if test_target is not None and test_source is None:
        raise UsageError(f"--test-target: {test_target} is of test sources; name them with --test-source")
    one, other = (None, None) if columns is None else parse_columns(columns, 2)

    def pairs(source: str, target: str | None) -> PairSource:
        return PairSource.from_arguments(source=source, target=target, source_column=one, target_column=other)

    train = [pairs(source, target)]
    test = [pairs(test_source, test_target)] if test_source else []
    for line in (line for one in (*train, *test) for line in one.notices()):
        say(line)
    report = check_pairs(train, test)
    if as_json:
        print_json(report.as_dict(), indent=2)
    else:
        print("\n".join(report.lines()))
    if not report.readable:
        say("next: mend these lines or take them out, and check again")
        raise typer.Exit(1)
    if as_json:
        return
    files = ["--source", source, *(["--target", target] if target else [])]
    say_next(f"sightline init my.toml {shlex.join([*files, *(['--columns', columns] if columns else [])])}")
