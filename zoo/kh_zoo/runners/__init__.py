"""Runners: where many pictures are coloured. Found by name; each is imported only when used."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from kh_zoo.errors import RunnerError
from kh_zoo.nearest import nearest
from kh_zoo.plugins.registry import plugins

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Job
    from kh_zoo.workers.answer import Answer
    from kh_zoo.workers.settings import Settings

DEFAULT_RUNNER = "local"
TIMEOUT = 900.0
"""Seconds that a picture may take."""


class Runner(Protocol):
    """Colours pictures, several at a time; a context manager that ends whatever it started."""

    @property
    def workers(self) -> int:
        """How many at a time; asked once it is started."""
        ...

    @property
    def device(self) -> str:
        """What is computed on; empty as long as that is not known."""
        ...

    def start(self) -> None:
        """Begin what takes a moment, while something else is done."""
        ...

    def run(
        self,
        jobs: "Sequence[Job]",
        begin: "Callable[[Job], object]",
        interrupted: Callable[[], bool],
    ) -> "Iterator[tuple[int, Answer]]":
        """Yield what became of each picture, with its place among `jobs`, as soon as it is known.

        Args:
            jobs: The pictures.
            begin: Called before one is begun, maybe in a thread; what it raises ends the run.
            interrupted: Asked now and then. Once it says so, what runs is ended, and only what was
                written before is yielded.

        Raises:
            ZooError: The model can't be loaded.
        """
        ...

    def __enter__(self) -> "Runner": ...

    def __exit__(self, *_: object) -> None: ...


def create_runner(
    name: str, settings: "Settings", workers: int | None = None, timeout: float = TIMEOUT
) -> Runner:
    """Make a runner, built in or of a plugin.

    Args:
        name: Of the runner.
        settings: How pictures are coloured.
        workers: How many at a time; None for what suits.
        timeout: Seconds that a picture may take.

    Raises:
        RunnerError: If there is no such runner, or its packages are not installed.
    """
    runners = plugins().runners
    if name not in runners:
        raise RunnerError(
            f"`runner` should be one of {', '.join(map(repr, runners))}.{nearest(name, runners)} "
            f"Received: {name!r}"
        )
    try:
        return runners[name](settings, workers, timeout)
    except ImportError as error:
        raise RunnerError(f"`runner` {name!r} can't be used: {error}") from error
