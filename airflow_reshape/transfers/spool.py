"""Rows that wait on disk: a queue of chunks in an encrypted temporary file without a name.

Rows are personal data. The file's key is made for this one file and is only in the memory of this process; the file
has no name, so that nobody opens it by one and the system drops it with the process, however that ends. AES-GCM also
vouches that what is unpickled is what was written.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from struct import Struct

MOST_BYTES = 1 << 30
"""Of a file: six million rows of a dozen columns (3 µs and 150 to 180 bytes a row), and what a worker can spare."""
SHARE_OF_FREE_SPACE = 0.5
NONCE_BYTES = 12
KEY_BITS = 256
HEAD = Struct(f">{NONCE_BYTES}sQ")
FOLDER_VARIABLES = ("TMPDIR", "TEMP", "TMP")
BIG_FILES = Path("/var/tmp")  # noqa: S108  # a folder; the file in it gets no name


class Spool:
    """A queue of chunks on disk; used by one thread.

    :param most_bytes: the file's bound; half of what is free on its disk if that is less. Default 1 GiB.
    :param folder: where the file lies. Default: as :func:`temporary_folder` says.
    :raises OSError: the file cannot be made.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, folder: Path | None = None) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(AESGCM.generate_key(KEY_BITS))
        self._file = tempfile.TemporaryFile(dir=folder or temporary_folder(), buffering=0)  # noqa: SIM115  # it stays open
        disk = os.statvfs(self._file.fileno())
        self._most_bytes = min(most_bytes, int(disk.f_bavail * disk.f_frsize * SHARE_OF_FREE_SPACE))
        self._start = 0
        self._end = 0

    @property
    def is_empty(self) -> bool:
        """Whether no chunk waits."""
        return self._start == self._end

    def put(self, chunk: Sequence[object]) -> bool:
        """Add a chunk; False if the file has no room for it.

        :raises OSError: the disk is full or broken. The chunk is not in the queue, those before it are.
        :raises Exception: a value of a row cannot be pickled; as above.
        """
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL), None)
        record = HEAD.pack(nonce, len(sealed)) + sealed
        if self._end + len(record) > self._most_bytes:
            return False
        rest, at = memoryview(record), self._end
        while rest:
            written = os.pwrite(self._file.fileno(), rest, at)
            rest, at = rest[written:], at + written
        self._end = at  # last: what was written by half is overwritten
        return True

    def take(self) -> Sequence[object]:
        """The oldest chunk. With the last one the disk's space is given back.

        :raises Exception: the file cannot be read, or is not what was written.
        """
        head = os.pread(self._file.fileno(), HEAD.size, self._start)
        nonce, length = HEAD.unpack(head)
        sealed = os.pread(self._file.fileno(), length, self._start + HEAD.size)
        chunk: Sequence[object] = pickle.loads(self._cipher.decrypt(nonce, sealed, None))  # noqa: S301  # our own
        self._start += HEAD.size + length
        if self.is_empty:
            self._start = self._end = 0
            self._file.truncate(0)
        return chunk

    def close(self) -> None:
        """Drop the file and what waits in it. Can be called again."""
        self._start = self._end = 0
        self._file.close()


def temporary_folder() -> Path | None:
    """Where big temporary files belong: where the environment says, else on a disk; ``/tmp`` is often in memory.

    None leaves the choice to Python.
    """
    chosen = any(os.environ.get(name) for name in FOLDER_VARIABLES)
    return BIG_FILES if not chosen and os.access(BIG_FILES, os.W_OK | os.X_OK) else None
