"""Rights as everyone but root has them, for tests of what may not be read or written."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

import pytest

_VERSION = 0x20080522  # of the kernel's structures, the third
_PASSING_MODES_BY = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextlib.contextmanager
def plain_rights() -> Iterator[None]:
    """Bind root too to the modes of files, within the with-block and the threads that it starts."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    header, held = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capset") or libc.capget(header, held):
        pytest.skip("root's rights cannot be laid down here")
    fewer = type(held)(*held)
    fewer[0] &= ~_PASSING_MODES_BY
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0
