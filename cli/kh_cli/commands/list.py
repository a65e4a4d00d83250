"""`kh list`: the models there are."""

from typing import Any

from kh_cli.options.hub_options import CacheDir, set_hub
from kh_cli.options.output_options import Json
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_record, write_table


def list_variants(
    cache_dir: CacheDir = None,
    json: Json = False,
) -> None:
    """List the trained models that are ready to run: the catalogue, and what was pulled besides.

    Without a network. Below a kind of picture stands the gain over grey, PSNR in dB, on those of
    the test split; `kh show NAME` has all figures and the taps.
    """
    set_hub(offline=True, cache_dir=cache_dir)
    from kh_zoo.catalog.find import find_source
    from kh_zoo.catalog.records import DEFAULT_VARIANT, list_variants
    from kh_zoo.errors import ZooError
    from kh_zoo.hub.store import list_stored

    records: list[dict[str, Any]] = []
    for variant in list_variants():
        where: str
        problem = None
        try:
            where = find_source(variant).where
        except ZooError as error:
            where, problem = "missing", str(error)
        records.append(
            {
                "name": variant.name,
                "default": variant.name == DEFAULT_VARIANT,
                "taps": variant.taps,
                "channels": variant.channels,
                "parameters": variant.parameters,
                "bytes": variant.bytes,
                "gain": {
                    kind: round(figures["psnr"] - figures["psnr_gray"], 2)
                    for kind, figures in variant.metrics.items()
                },
                "license": variant.license,
                "where": where,
                "repository": variant.repository,
                "revision": variant.revision,
                "description": variant.description,
                "problem": problem,
            }
        )
    pinned = {(record["repository"], record["revision"]) for record in records}
    for stored in list_stored():
        if (stored.repository, stored.commit) not in pinned:
            records.append(_stored_record(stored))
    for record in records:
        if record["problem"]:
            tell(f"{record['name']}: {record['problem']}")
    if json:
        for record in records:
            write_record(record)
        return
    kinds = list(dict.fromkeys(kind for record in records for kind in record["gain"]))
    write_table(
        ["name", "MB", *kinds, "licence", "where"],
        [
            [
                record["name"] + (" (default)" if record["default"] else ""),
                f"{record['bytes'] / 1e6:.1f}",
                *(
                    f"{record['gain'][kind]:+.2f}" if kind in record["gain"] else ""
                    for kind in kinds
                ),
                record["license"] or "none is stated",
                record["where"],
            ]
            for record in records
        ],
    )


def _stored_record(stored: Any) -> dict[str, Any]:
    from kh_zoo.errors import ZooError
    from kh_zoo.networks.model_folder import CONFIG, KERAS, read_config, read_table

    channels: dict[str, int] = {}
    where, problem = "cached", stored.problem
    try:
        if read_table(stored.path / CONFIG)["architecture"] != KERAS:
            config = read_config(stored.path / CONFIG)
            channels = config.tap_channels(next(iter(config.heads)))
    except ZooError as error:
        where, problem = "damaged", str(error)
    return {
        "name": stored.repository,
        "default": False,
        "taps": tuple(channels),
        "channels": sum(channels.values()) or None,
        "parameters": None,
        "bytes": stored.bytes,
        "gain": {},
        "license": stored.license,
        "repository": stored.repository,
        "revision": stored.commit,
        "description": None,
        "where": where,
        "problem": problem,
    }
