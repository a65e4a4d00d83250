"""Ctrl-C where an exception can be raised, and where it can't."""

import signal

import pytest

from kh_cli.interrupt import noted_interrupt


def test_an_interrupt_is_raised_at_once():
    with noted_interrupt(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_within_the_log_callback_of_libvips_it_is_kept_for_later():
    def _log_handler_callback():
        signal.raise_signal(signal.SIGINT)

    with noted_interrupt() as check:
        check()
        _log_handler_callback()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_the_handler_before_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with noted_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted_interrupt() as check:
            signal.raise_signal(signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, before)
