"""The command line: verbs, what is printed, and how errors end."""

from __future__ import annotations

import functools
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from sightline import __version__
from sightline.cli.common import PLUGINS, as_options
from sightline.errors import SightlineError

app = typer.Typer(
    name="sightline",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 110},
    help="Train, compare, open up and ship sequence models.\n\n"
    "Try:  sightline demo\n\n"
    "      sightline train transformer-ko-en\n\n"
    "Every verb has its own --help with examples; --debug shows the traceback of an error; --plugin FILE.py adds "
    "tasks and models of your own.",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"sightline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


COMPLETION = "_SIGHTLINE_COMPLETE"  # the variable by which a shell asks what a word may be
# Modules with a `register` each, in the order of `sightline --help`.
VERBS = (
    "train", "init", "translate", "generate", "fill", "classify", "tag", "answer", "predict", "look", "align", "serve",
    "evaluate", "calibrate", "compare", "runs", "show", "pack", "data", "exchange", "demo",
)  # fmt: skip


@functools.cache
def _register() -> None:
    """Once: every call would add all verbs again."""
    for verb in VERBS:
        importlib.import_module(f"sightline.cli.{verb}").register(app)


def main(arguments: list[str] | None = None) -> None:
    """Runs one verb. Exit codes: 0 done, 2 wrong usage or configuration, 1 any other error, 130 and 143 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words, plugins = _without_plugins([word for word in words if word != "--debug"])
    _utf8()
    _register()
    sys.exit(_run(words, debug, plugins))


def _without_plugins(words: list[str]) -> tuple[list[str], list[str]]:
    """The words without `--plugin FILE`, which may stand anywhere, and the files."""
    rest: list[str] = []
    plugins: list[str] = []
    waiting = iter(words)
    for word in waiting:
        name, equals, path = word.partition("=")
        if name == "--plugin":
            plugins.append(path if equals else next(waiting, ""))
        else:
            rest.append(word)
    return rest, plugins


def _utf8() -> None:
    """Text goes out as UTF-8 wherever it goes: a terminal's own encoding may lack the letters of half the world."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # and not closed, or what a caller has put in its place
            stream.reconfigure(encoding="utf-8", errors="replace" if stream is sys.stderr else "strict")


def _run(words: list[str], debug: bool, plugins: Sequence[str] = ()) -> int:
    PLUGINS.set(tuple(plugins))
    try:
        if plugins or "SIGHTLINE_PLUGINS" in os.environ:
            from sightline.runs.loading import load_environment_plugins
            from sightline.runs.plugins import load_plugin

            load_environment_plugins()
            for path in plugins:
                load_plugin(path)
        if COMPLETION in os.environ:
            app(prog_name="sightline")  # answers the shell, and ends
        # not app(), which would end an interruption and a closed output in ways of its own
        command = typer.main.get_command(app)
        with command.make_context("sightline", words) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as done:
        return done.exit_code
    except TyperException as error:
        if debug:
            raise
        context, told = getattr(error, "ctx", None), getattr(error, "format_message", error.__str__)()
        if context and told == context.get_help():  # what a command says that needs a word and has none
            return _run([*words, "--help"], debug, plugins)
        hint = f"; see `{context.command_path} --help`" if context else ""
        return _fail(f"{told.rstrip('.')}{hint}", 2)
    except SightlineError as error:
        if debug:
            raise
        return _fail(as_options(str(error)), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # whoever read our output has gone; a second write at exit would complain again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 0
    except MemoryError:
        return _fail("out of memory; lower the batch size or the model's sizes", 1)
    except OSError as error:
        if debug:
            raise
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except Exception as error:
        if debug:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; run again with --debug and report it", 1)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split("\n"))
    print(f"sightline: {line}", file=sys.stderr)
    return code
