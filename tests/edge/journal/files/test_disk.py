"""The journal's own write: as os.write, errors and embedded NULs included, without letting go of the interpreter's lock."""

import errno
import os
from pathlib import Path

import pytest

from edge.journal.files.disk import Disk


def test_write_appends_every_byte(tmp_path: Path) -> None:
    """The count is what arrived, a NUL is a byte like any other, and what is there stays."""
    disk = Disk()
    fd = disk.create(str(tmp_path / "log"))
    assert disk.write(fd, b"one\x00two\n") == 8
    assert disk.write(fd, b"") == 0
    assert disk.write(fd, b"three\n") == 6
    disk.close(fd)
    assert (tmp_path / "log").read_bytes() == b"one\x00two\nthree\n"


def test_write_refused_is_the_systems_error(tmp_path: Path) -> None:
    """A descriptor that takes no bytes raises OSError with the number and words of the system."""
    (tmp_path / "log").touch()
    fd = os.open(tmp_path / "log", os.O_RDONLY)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as caught:
        Disk().write(fd, b"x")
    os.close(fd)
    assert caught.value.errno == errno.EBADF


def test_write_to_a_full_disk_says_so() -> None:
    """ENOSPC is told by its number: the keeper probes until there is room."""
    fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        Disk().write(fd, b"x")
    os.close(fd)
    assert caught.value.errno == errno.ENOSPC
