"""Files of records: read whatever encoding they have, added to without harm to what is there."""

import codecs
import os
from collections.abc import Sequence
from pathlib import Path

from azdab.common import files
from azdab.common.errors import UserError
from azdab.game import record
from azdab.game.record import Record

MAX_RECORD_BYTES = 50_000_000
"""Larger files are refused."""

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path) -> str:
    """A text file that a person named: UTF-8, UTF-16 with its mark, or GB18030.

    Raises:
      UserError: it cannot be read.
    """
    try:
        content = files.read_bounded(path, MAX_RECORD_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    marked = [name for mark, name in _BOMS.items() if content.startswith(mark)]
    try:
        if marked:
            return content.decode(marked[0])
        try:
            return _utf8(content)[0]
        except UnicodeDecodeError:
            return content.decode("gb18030")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 or GB18030 text") from None


def _utf8(content: bytes) -> tuple[str, bool]:
    """Text, and whether only a part of its last character is there, as after a power cut."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, has_half = decoder.decode(content), bool(decoder.getstate()[0])
    return text + "\ufffd" * has_half, has_half


def check_appendable(path: Path) -> None:
    """Refuse a file to which no games can be added, before they are played.

    Raises:
      UserError: there is something else than azdab's records in it.
    """
    _pieces(path)


def append_games(path: Path, games: Sequence[Record]) -> str | None:
    """Add games to a file of records, which is made if need be; each whole or not at all.

    Where the last game in it is broken, because the writing of it was cut short, this piece is
    first moved to a file ``<name>.broken`` beside it.

    Returns:
      One line if this was so.

    Raises:
      UserError: the file cannot be written, or holds something else.
    """
    (pieces, has_half), added = _pieces(path), record.records_text(games)
    if not pieces:
        files.write_text(path, added)
        return None
    *whole, last = pieces
    try:
        record.parse_records(last)
    except UserError as error:
        broken = path.with_name(f"{path.name}.broken")
        _append(broken, last)
        files.write_text(path, "".join([*whole, "\n"] if whole else []) + added)
        return f"The last game in {path} was cut short ({error}); it is kept in {broken}."
    added = ("\n" if last.endswith("\n") else "\n\n") + added
    if has_half:
        files.write_text(path, "".join(pieces) + added)
    else:
        _append(path, added)
    return None


def _pieces(path: Path) -> tuple[list[str], bool]:
    """The games in a file, and whether it ends in half a character."""
    if not path.is_file():
        return [], False
    try:
        text, has_half = _utf8(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: games are not added to it") from None
    pieces = record.split_games(text)
    if pieces and not record.begins_game(pieces[0]):
        raise UserError(f"{path} holds something else than azdab's records: choose another file")
    return pieces, has_half


def _append(path: Path, text: str) -> None:
    """Add text at the end of a file, or leave the file as it was."""
    content = text.encode(errors="backslashreplace")
    try:
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
