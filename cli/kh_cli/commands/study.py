"""`kh study`: which layers carry the colour."""

import functools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kh_cli.errors import WrongUse
from kh_cli.hub_options import CacheDir, Offline, bring, set_hub
from kh_cli.progress import Progress
from kh_cli.stdout import write_record, write_table

if TYPE_CHECKING:
    from keras_hypercolumns.training.tap_study import TapStudy


def study(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME_OR_RUN",
            help="Whose trunk is studied: as for `kh evaluate`. One that was trained for some of "
            "the taps favours them.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
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
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON a subset. Default: tables.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only errors. Default: progress.")
    ] = False,
) -> None:
    """Find out which taps carry the colour, on a frozen trunk.

    For any taps the best linear head is solved in closed form and measured on held-out pictures:
    each tap alone, each left out, the best to add one after the other, all subsets of the five
    blocks, and the variants; then how much of each tap is linear in each other one.
    """
    set_hub(offline, cache_dir)
    bring(model, quiet)
    from keras_hypercolumns.taps import STUDY_VARIANTS, VARIANTS
    from keras_hypercolumns.training.gram_matrix import GramMatrix
    from keras_hypercolumns.training.study_plot import study_plot
    from keras_hypercolumns.training.tap_study import TapStudy, sum_hypercolumns
    from kh_zoo.joint_model import load_full_trunk
    from kh_zoo.split import list_pictures

    if size % 16:
        raise WrongUse(f"`--size` should be a multiple of 16. Received: {size}")
    started = time.monotonic()
    taps = VARIANTS["full"]
    chosen = {}
    for split, count in (
        ("train", pictures),
        ("validation", pictures // 2),
        ("test", pictures // 2),
    ):
        names = list_pictures(data, split)
        if not names:
            raise WrongUse(f"`--data` should hold pictures of the {split} split. Received: {data}")
        spread = [names[len(names) * i // count] for i in range(count)]
        chosen[split] = [data / name for name in (spread if len(names) > count else names)]
    trunk = load_full_trunk(model)
    with Progress("sampling", sum(map(len, chosen.values())), quiet=quiet, log=True) as progress:
        sums: list[GramMatrix] = []
        done = 0
        for number, paths in enumerate(chosen.values()):
            on_picture = functools.partial(_advance, progress, done)
            sums.append(
                sum_hypercolumns(trunk, taps, paths, size, points, seed + number, on_picture)
            )
            done += len(paths)
    sampled = time.monotonic() - started
    fitted, validation, held_out = sums
    found = TapStudy(taps, fitted, validation, held_out)
    variants = {
        name: subset
        for name, subset in {**VARIANTS, **STUDY_VARIANTS}.items()
        if set(subset) <= set(taps)
    }
    tables: dict[str, list[tuple[str, tuple[str, ...]]]] = {
        "alone": [(tap, (tap,)) for tap in taps],
        "left out": [(tap, tuple(one for one in taps if one != tap)) for tap in taps],
        "added": [(subset[-1], subset) for subset in found.greedy()],
        "blocks": [("+".join(subset), subset) for subset in found.blocks()],
        "variants": list(variants.items()),
    }
    for kind, subsets in tables.items():
        _write(kind, subsets, found, json)
    _write_redundancy(found, json)
    if plot is not None:
        labels = {
            "alone": "a tap alone",
            "blocks": "last taps of blocks",
            "added": "the best tap added",
            "variants": "variants",
        }
        groups = {
            label: [
                (name, len(found.columns(subset)), found.explained(subset))
                for name, subset in tables[kind]
            ]
            for kind, label in labels.items()
        }
        plot.write_text(study_plot(groups), encoding="utf-8")
    seconds = time.monotonic() - started
    import resource  # which Windows lacks

    # Of the whole process, in kilobytes on Linux and in bytes on macOS.
    unit = 1e9 if sys.platform == "darwin" else 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    summary = {
        "model": model,
        "trunk": "as trained with all of the model's variants",
        "fitted": len(chosen["train"]),
        "validation": len(chosen["validation"]),
        "held_out": len(chosen["test"]),
        "size": size,
        "points": points,
        "ridges": found.ridges,
        "rmse_ab_mean": round(found.mean_error**0.5, 3),
        "sampling_seconds": round(sampled, 1),
        "seconds": round(seconds, 1),
        "peak_gigabytes": round(peak, 2),
    }
    if json:
        write_record({"kind": "summary", **summary})
    elif not quiet:
        print(", ".join(f"{key} {value}" for key, value in summary.items()), file=sys.stderr)


def _advance(progress: Progress, before: int, done: int) -> None:
    progress.advance(before + done)


def _write(
    kind: str, subsets: list[tuple[str, tuple[str, ...]]], found: "TapStudy", json: bool
) -> None:
    if json:
        for name, subset in subsets:
            record: dict[str, Any] = {"kind": kind, "name": name, "taps": subset}
            record |= {
                "channels": len(found.columns(subset)),
                "rmse_ab": round(found.error(subset) ** 0.5, 4),
                "explained_variance": round(found.explained(subset), 5),
            }
            write_record(record)
        return
    write_table(
        [kind, "taps", "channels", "RMSE AB", "explained"],
        [
            [
                name,
                str(len(subset)),
                str(len(found.columns(subset))),
                f"{found.error(subset) ** 0.5:.3f}",
                f"{found.explained(subset):.4f}",
            ]
            for name, subset in subsets
        ],
    )
    print()


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
