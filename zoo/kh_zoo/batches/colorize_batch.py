"""Files and folders of pictures, from grey to colour."""

import os
from collections.abc import Iterable
from pathlib import Path

from kh_zoo.batches.batch import Batch, Outcome
from kh_zoo.batches.plan import plan_batch
from kh_zoo.catalog.find import find, pull_source
from kh_zoo.catalog.records import DEFAULT_VARIANT
from kh_zoo.engines import DEFAULT_DEVICE
from kh_zoo.pictures.formats import suffix_of
from kh_zoo.runners import DEFAULT_RUNNER, TIMEOUT, create_runner
from kh_zoo.workers.settings import Settings


def colorize_batch(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    output: str | os.PathLike[str] | None = None,
    format: str | None = None,
    overwrite: bool = False,
    model: str | os.PathLike[str] = DEFAULT_VARIANT,
    engine: str | None = None,
    device: str = DEFAULT_DEVICE,
    size: int | None = None,
    saturation: float = 1.0,
    vivid: bool = False,
    quality: int | None = None,
    compare: bool = False,
    runner: str = DEFAULT_RUNNER,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
) -> list[Outcome]:
    """Colour files and folders of pictures, as `kh colorize` does.

    Each picture is coloured in a process of its own, so a damaged one ends neither the others nor
    the caller. What is done is noted in the output folder: the same call goes on where an earlier
    one was ended, and does again what was made with other options, or from an input that has
    changed.

    Example:

    >>> from kh_zoo import colorize_batch
    >>> for outcome in colorize_batch("scans", output="colour"):  # doctest: +SKIP
    ...     print(outcome.status, outcome.target, outcome.reason)
    done colour/bride.jpg None
    failed colour/torn.jpg damaged or cut: VipsJpeg: premature end of JPEG image

    Args:
        paths: A picture or a folder of pictures, or several. A picture named here is tried whatever
            its suffix.
        output: The folder to write into; for a single picture also a file name. By default
            `photo.jpg` becomes `photo.color.jpg` beside it, and `scans/` becomes `scans-color/`.
        format: Of the files to write, such as `"png"`; by default the input's own where that can be
            written, else PNG.
        overwrite: Do again what is already there.
        model: Name of a variant of the catalogue; `owner/repo[@revision]` on the Hugging Face Hub,
            which is pulled unless it was; or the path of a model folder or of a run folder.
        engine: What computes: `"onnx"`, `"keras"`, or the engine of a plugin.
        device: `"auto"`, `"cpu"`, `"gpu"` or `"gpu:1"`.
        size: Short side, in pixels, of the copy that the colours are predicted on; by default what
            the model was made for. The output keeps the input's size.
        saturation: Factor of A and B: 0 is grey, 1 is as predicted.
        vivid: Take the model's vivid head.
        quality: Of JPEG, WebP and AVIF, 1..100.
        compare: Put the grey picture to the left of the coloured one.
        runner: Where they are coloured: `"local"`, `"ray"`, or the runner of a plugin.
        jobs: Pictures at a time; each takes memory for a model. By default as many as cores, at
            most 4.
        timeout: Seconds that a picture may take.

    Returns:
        What became of each input: `source`, `target`, `status` (`"done"`, `"skipped"` or
        `"failed"`), `reason`, `notes` on what was not taken from it, and `seconds`.

    Raises:
        PlanError: A path is not there, all outputs are refused, or there is no picture at all.
        OutputError: A folder can't be written to, or another run is writing to it.
        VariantError, ModelError, EngineError, RunnerError: There is no such model, engine, device
            or runner.
        HubError: The model is only on the Hub, which can't be reached, or refuses.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    plan = plan_batch(
        map(Path, paths),
        output=None if output is None else Path(output),
        suffix=suffix_of(format),
        overwrite=overwrite,
    )
    pull_source(find(model))
    settings = Settings(
        model=os.fspath(model),
        engine=engine,
        device=device,
        size=size,
        saturation=saturation,
        vivid=vivid,
        quality=quality,
        compare=compare,
    )
    workers = 1 if len(plan.jobs) == 1 else jobs
    with create_runner(runner, settings, workers, timeout) as running:
        running.start()
        return list(Batch(plan, settings, running).run())
