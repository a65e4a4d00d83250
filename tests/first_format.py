"""Model folders as the first versions of the package wrote them."""

import json


def first_format(folder, heads, size=64, pooling="average", **fields):
    """Make the configuration of a model folder one of format 1, as the first versions wrote it."""
    table = {
        "format": 1,
        "architecture": "vgg19_gray",
        "pooling": pooling,
        "size": size,
        "heads": {head: list(taps) for head, taps in heads.items()},
        **fields,
    }
    (folder / "config.json").write_text(json.dumps(table, indent=2) + "\n")
