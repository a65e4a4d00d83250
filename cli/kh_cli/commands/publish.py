"""`kh publish`: a model of this disk, onto the Hub."""

import dataclasses
import json as json_text
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kh_cli.options.completion import complete_model
from kh_cli.options.output_options import Json, Quiet
from kh_cli.output.errors import FAILED, WrongUse, explain
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record, write_text

if TYPE_CHECKING:
    from kh_zoo.publishing.publish import Published


def publish(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_model,
            help="Folder of a training run or of a model, or a name from `kh list`. With a run the "
            "weights for Keras are in full precision.",
            show_default=False,
        ),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Argument(
            metavar="OWNER/REPO", help="Repository on the Hugging Face Hub.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be done. Default: do it."),
    ] = False,
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Make a new repository one that only its owner sees. Default: public."
        ),
    ] = False,
    create_pr: Annotated[
        bool,
        typer.Option(
            "--create-pr", help="Open a pull request. Default: a commit on main, and its tag."
        ),
    ] = False,
    license: Annotated[
        str | None,
        typer.Option(
            help="Of the weights, such as Apache-2.0. Default: what the catalogue or the card "
            "says.",
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            help="Name for the commit. Default: the next of v1, v2 and so on.", show_default=False
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Only say what is wrong with the files of a repository in a folder; without a "
            "network.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--all",
            metavar="OWNER",
            help="Publish all variants that ship with the package as "
            "OWNER/keras-hypercolumns-NAME, and print what the catalogue has to say of them.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish a model to the Hugging Face Hub, where `kh pull` and Keras find it.

    `hf auth login`, or HF_TOKEN, says who you are. One commit is made, then its tag; what is there
    already is not sent again, so the same command goes on where one was interrupted. What you write
    in the card on the Hub is kept.

    Exit code: 0 done; 1 the Hub refused or can't be reached, or `--check` found something; 2 wrong
    use.
    """
    chosen = [name for name, value in (("--check", check), ("--all", every)) if value]
    if check is not None and model is None and not every:
        _check(check, json)
        return
    if chosen and (model or len(chosen) > 1):
        raise WrongUse(f"`{chosen[0]}` goes without a model and a repository of its own")
    if not chosen and not (model and repository):
        raise WrongUse("`kh publish` needs a model and a repository: kh publish runs/mine me/mine")
    if quiet:
        # The client reads it once, when it is imported.
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from kh_zoo.publishing.publish import publish
    from kh_zoo.publishing.publish_all import publish_all

    options: dict[str, Any] = {
        "license": license,
        "tag": tag,
        "private": private,
        "create_pr": create_pr,
        "dry_run": dry_run,
    }
    if every is None:
        found = publish(str(model), str(repository), **options)
        _tell(found, dry_run, quiet)
        if json:
            write_record({**dataclasses.asdict(found), "dry_run": dry_run})
        else:
            write_line(found.pull_request or f"{found.url}/tree/{found.commit or 'main'}")
        return
    pins, failed = {}, False
    for variant, outcome in publish_all(every, **options):
        if isinstance(outcome, Exception):
            failed = True
            reason, _ = explain(outcome)
            tell(f"{variant.name}: {reason}")
            if json:
                write_record({"name": variant.name, "status": "failed", "reason": reason})
            continue
        _tell(outcome, dry_run, quiet)
        if json:
            record = {"name": variant.name, "status": "done", "dry_run": dry_run}
            write_record(record | dataclasses.asdict(outcome))
        if outcome.commit is not None:  # a dry run has nothing to pin
            pins[variant.name] = {
                "repository": outcome.repository,
                "revision": outcome.commit,
                "hub_files": outcome.files,
            }
    if not json:
        write_text(*json_text.dumps({"hub": pins}, indent=2).splitlines())
    if failed:
        raise typer.Exit(FAILED)


def _tell(found: "Published", dry_run: bool, quiet: bool) -> None:
    if not quiet:
        tell(*_lines(found, dry_run))


def _check(folder: Path, json: bool) -> None:
    from kh_zoo.publishing.repository import check_repository

    problems = check_repository(folder)
    if json:
        write_record({"folder": str(folder), "problems": problems})
    elif not problems:
        write_text(f"{folder}: nothing is wrong")
    if problems:
        tell(*problems)
        raise typer.Exit(FAILED)


def _lines(found: "Published", dry_run: bool) -> list[str]:
    """What was done, or would be."""
    verb = "would be " if dry_run else ""
    lines = [f"{found.repository}:{f' {verb}created' if found.created else ''}"]
    for name, file in found.files.items():
        state = f"{verb}sent" if name in found.changed else "as on the Hub"
        lines.append(f"  {name:20}{int(file['bytes']) / 1e6:8.2f} MB  {state}")
    if not found.changed:
        lines.append(f"  no commit: nothing has changed since {(found.commit or '')[:12]}")
    lines.append(f"  licence: {found.license}")
    if found.tag:
        lines.append(f"  tag: {found.tag}")
    if dry_run:
        lines += ["  card, README.md:", *(f"  | {line}" for line in found.card.splitlines())]
    return lines
