"""The process that is connected to a Ray cluster: what Ray prints is not among the answers.

Started by `RayRunner`. Its standard input has two lines of JSON: how pictures are coloured, which
is answered by how many at a time, and which pictures; each of these is answered by a line. It ends
when its standard input does.
"""

import json
import logging
import os
import socket
import sys
import threading
from typing import Any, cast

import ray
import ray.data

from kh_zoo.runners.ray_actor import RayActor
from kh_zoo.workers.settings import Settings

_MOST_IN_BLOCK = 16
"""Pictures that are answered together; so many are coloured again if a machine is lost."""
_PATIENCE = 5
"""Seconds that a cluster may take to answer; Ray itself would wait for minutes."""
_VARIABLES = ("HF_", "KH_", "KERAS_")
"""How the variables begin that decide what a model is and how it is loaded."""


def main() -> None:
    """Answer, and leave the cluster."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    question = json.loads(sys.stdin.readline())
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _join(address)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (
            "`RAY_ADDRESS` should be that of a Ray cluster that answers, or unset. Received: "
            f"{address!r} ({error})"
        )
        print(json.dumps({"kind": "RunnerError", "reason": reason}), file=answers, flush=True)
        return
    resources: dict[str, float] = cast("Any", ray).cluster_resources()  # it has no types
    workers = question["workers"] or max(1, int(resources.get("CPU", 1)))
    print(json.dumps({"workers": workers}), file=answers, flush=True)
    pictures = sys.stdin.readline()
    if not pictures:
        return
    threading.Thread(target=_leave_at_end_of_input, daemon=True).start()
    rows = [
        # Bytes, since a name may be no text.
        {"number": number, "source": os.fsencode(source), "target": os.fsencode(target)}
        for number, (source, target) in enumerate(json.loads(pictures))
    ]
    settings = Settings(**question["settings"])
    for answer in _colorize(rows, settings, question["timeout"], min(workers, len(rows))):
        print(answer, file=answers, flush=True)
    ray.shutdown()


def _join(address: str) -> None:
    """Join the cluster at `RAY_ADDRESS` or of `ray start`, or start one on this machine."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), _PATIENCE).close()
    variables = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    ray.init(runtime_env={"env_vars": variables}, log_to_driver=False)


def _leave_at_end_of_input() -> None:
    sys.stdin.read()
    ray.shutdown()
    os._exit(0)


def _colorize(rows: list[dict[str, Any]], settings: Settings, timeout: float, workers: int) -> Any:
    """Yield the answers of the actors, as they come; one that is lost is replaced."""
    in_block = max(1, min(_MOST_IN_BLOCK, len(rows) // (4 * workers)))
    dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // in_block))
    answers = dataset.map(
        cast("Any", RayActor),  # Ray makes one in each actor, and calls it for each row
        fn_constructor_args=(settings, timeout),
        concurrency=workers,
        num_cpus=1,
    )
    return (row["answer"] for row in answers.iter_rows())


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
