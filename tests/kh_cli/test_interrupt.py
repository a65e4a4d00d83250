import signal

import pytest
import typer

from kh_cli.output.errors import explain
from kh_cli.output.interrupt import (
    SIGNALS,
    Interrupt,
    interrupt_behind,
    noted_interrupt,
    raise_interrupts,
)
from kh_zoo.errors import EngineError


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_is_noted(number):
    with noted_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(number)
        assert interrupted()
        signal.raise_signal(signal.SIGINT)  # the first one counts
    assert interrupted.noted.code == 128 + number


def test_the_handlers_before_come_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with noted_interrupt():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_is_raised_and_found_behind_what_typer_makes_of_it(number):
    before = {one: signal.getsignal(one) for one in SIGNALS}
    app = typer.Typer()
    app.command()(lambda: signal.raise_signal(number))
    try:
        raise_interrupts()
        with pytest.raises(Interrupt):
            signal.raise_signal(number)
        with pytest.raises(SystemExit) as ended:
            app([])
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert interrupt_behind(ended.value).code == 128 + number
    assert interrupt_behind(SystemExit(130)) is None
    ended.value.code = 0  # by a command that took it for its end
    assert interrupt_behind(ended.value) is None


def test_an_interrupt_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_of_which_a_library_made_another_error(number):
    """As pybind11 does with what comes while its module is loaded."""
    loading, engine = ImportError("initialization failed"), EngineError("`engine` can't be used")
    loading.__cause__, engine.__cause__ = Interrupt(number), loading
    assert explain(engine) == ("interrupted", 128 + number)
