"""`kh study`: which layers carry the colour."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kh_cli.options.data_option import single_folder
from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.model_options import Model
from kh_cli.options.output_options import Json, Quiet, check_suffix, prepare_place
from kh_cli.output.errors import WrongUse
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_record, write_table, write_text

if TYPE_CHECKING:
    from keras_hypercolumns.training.study.tap_study import TapStudy

_Subsets = list[tuple[str, tuple[str, ...]]]


def study(
    model: Model,
    data: Annotated[
        list[Path],
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of colour pictures: heads are solved on some of the training split, their "
            "ridge is chosen on some of the validation split, and they are measured on the test "
            "split.",
            show_default=False,
        ),
    ],
    pictures: Annotated[
        int,
        typer.Option(min=2, help="To solve heads on; of the other splits half as many."),
    ] = 500,
    size: Annotated[
        int, typer.Option(min=32, max=1024, help="Side of the pictures, in pixels.")
    ] = 128,
    points: Annotated[int, typer.Option(min=1, help="Pixels sampled from each picture.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the pixels.")] = 1,
    plot: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            metavar="FILE.svg",
            help="Draw channels against explained variance. Default: not.",
            show_default=False,
        ),
    ] = None,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find out which taps carry the colour, on a frozen trunk.

    For any taps the best linear head is solved in closed form and measured on held-out pictures:
    each tap alone, each left out, the best to add one after the other, all subsets of the last of
    each stride, and the variants; then how much of each tap is linear in each other one. Of a
    VGG-19 the taps are those of all variants, of another network those that its heads see.
    """
    folder = single_folder(data)
    check_suffix("--plot", plot, ".svg")
    if plot is not None:
        prepare_place("--plot", plot)
    set_hub(offline, cache_dir)
    pull_model(model, quiet)
    from keras_hypercolumns.training.study.study_plot import study_plot
    from kh_zoo.files.whole_files import write_whole
    from kh_zoo.measuring.study import study

    started = time.monotonic()
    try:
        with Progress("sampling", None, quiet=quiet, log=True) as progress:
            studied = study(
                model,
                folder,
                pictures=pictures,
                size=size,
                points=points,
                seed=seed,
                on_picture=lambda done, total: progress.advance(done, total=total),
            )
    except ValueError as error:  # such as a size that is no multiple of 16
        raise WrongUse(str(error)) from error
    sampled = time.monotonic() - started
    found = studied.main
    explained = {}
    for kind, subsets in _tables(found, list(studied.variants.items())):
        records = [_record(kind, name, subset, studied.of(subset)) for name, subset in subsets]
        _write(kind, records, json)
        explained[kind] = [
            (record["name"], record["channels"], record["explained_variance"]) for record in records
        ]
    _write_redundancy(found, json)
    if plot is not None:
        labels = {
            "alone": "a tap alone",
            "blocks": "last taps of strides",
            "added": "the best tap added",
            "variants": "variants",
        }
        drawn = {label: explained[kind] for kind, label in labels.items()}
        write_whole(plot, study_plot(drawn).encode())
    seconds = time.monotonic() - started
    summary = {
        "model": model,
        "trunk": "as trained with all of the model's variants",
        "fitted": studied.pictures["train"],
        "validation": studied.pictures["validation"],
        "held_out": studied.pictures["test"],
        "size": size,
        "points": points,
        "ridges": found.ridges,
        "rmse_ab_mean": round(found.mean_error**0.5, 3),
        "sampling_seconds": round(sampled, 1),
        "seconds": round(seconds, 1),
        "peak_gigabytes": _peak(),
    }
    if json:
        write_record({"kind": "summary", **summary})
    elif not quiet:
        tell(", ".join(f"{key} {value}" for key, value in summary.items()))


def _peak() -> float | None:
    """Return the most memory that the process held; Windows does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    # In kilobytes on Linux, in bytes on macOS.
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)


def _tables(found: "TapStudy", variants: _Subsets) -> Iterator[tuple[str, _Subsets]]:
    """Yield the kinds of subsets one by one: a table is printed before the next is solved."""
    yield "alone", [(tap, (tap,)) for tap in found.taps]
    yield "left out", [(tap, tuple(one for one in found.taps if one != tap)) for tap in found.taps]
    yield "added", [(subset[-1], subset) for subset in found.greedy()]
    yield "blocks", [("+".join(subset), subset) for subset in found.blocks()]
    yield "variants", variants


def _record(kind: str, name: str, subset: tuple[str, ...], found: "TapStudy") -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "taps": subset,
        "channels": len(found.columns(subset)),
        "ridge": found.ridge(subset),
        "rmse_ab": round(found.error(subset) ** 0.5, 4),
        "explained_variance": round(found.explained(subset), 5),
    }


def _write(kind: str, records: list[dict[str, Any]], json: bool) -> None:
    if json:
        for record in records:
            write_record(record)
        return
    write_table(
        [kind, "taps", "channels", "ridge", "RMSE AB", "explained"],
        [
            [
                record["name"],
                str(len(record["taps"])),
                str(record["channels"]),
                f"{record['ridge']:g}",
                f"{record['rmse_ab']:.3f}",
                f"{record['explained_variance']:.4f}",
            ]
            for record in records
        ],
    )
    write_text("")


def _write_redundancy(found: "TapStudy", json: bool) -> None:
    """For each tap, how much of its variance is linear in each other one."""
    matrix = found.redundancy()
    if json:
        for tap, row in zip(found.taps, matrix, strict=True):
            shares = {
                other: round(float(share), 4) for other, share in zip(found.taps, row, strict=True)
            }
            write_record({"kind": "redundancy", "name": tap, "explains": shares})
        return
    write_table(
        ["explains", *(tap.removeprefix("relu") for tap in found.taps)],
        [
            [tap, *(f"{share:.2f}" for share in row)]
            for tap, row in zip(found.taps, matrix, strict=True)
        ],
    )
