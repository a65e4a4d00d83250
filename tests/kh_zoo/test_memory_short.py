"""What libraries say where memory runs out, and what only sounds like it."""

import errno

import pytest

from kh_zoo.extras import needs
from kh_zoo.memory import is_out_of_memory

SHARED = "libx.so: failed to map segment from shared object"


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (ImportError(SHARED), True),
        (ImportError(f"{SHARED}: Cannot allocate memory"), True),
        # A disk from which nothing may be run.
        (ImportError(f"{SHARED}: Operation not permitted"), False),
        (ImportError("No module named 'x'", name="x"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
    ids=str,
)
def test_what_is_for_want_of_memory(error, short):
    assert is_out_of_memory(error) is short


def test_a_package_that_finds_no_memory_is_not_missing():
    with pytest.raises(ImportError) as raised, needs("evaluate", "Measuring"):
        raise ImportError(SHARED)
    assert is_out_of_memory(raised.value)
