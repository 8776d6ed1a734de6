"""The folder of a run that is not finished: what it does, its photos in blocks, and the blocks that are done.

It lies beside the file to be written, as ``faces.parquet.work``, and holds

    run.json              what is done with the photos: sources, model, face policy
    photos.parquet        the photos, listed once; a row group is a block
    part-00000.parquet    the rows of block 0

Every file is written beside and renamed, so one that is there is whole: a part is the record that its block
is done.  A run that is killed loses the blocks that it was at.  One process at a time works in the folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..utils.atomic_write import write_bytes, writing_whole
from ..utils.escape import shown
from ..utils.extras import needs_extra
from .job import Block, Part
from .photo_file import PhotoRef

FIELDS = tuple(PhotoRef._fields)
NUMBERS = ("offset", "size")
"""The other columns are texts; names of files may be no Unicode, so they are stored as bytes."""


def work_folder(out: Path) -> Path:
    """Return the folder of the run that writes ``out``."""
    return out.with_name(f"{out.name}.work")


class Work:
    """A run in its folder, begun or continued; the caller holds the folder's lock.

    Args:
        folder: The folder, which exists.
        settings: What is done, for JSON.
        photos: Called to list the photos, where the run begins.
        size: Photos a block, where the run begins.

    Raises:
        DataError: The folder holds a run with other settings, or is damaged.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], photos: Callable[[], Iterable[PhotoRef]], size: int
    ) -> None:
        with needs_extra("bulk", "a Parquet file"):
            import pyarrow.parquet
        self.folder = folder
        for left in folder.glob(".*.part"):  # of a process that was killed while it wrote
            left.unlink(missing_ok=True)
        if (folder / "run.json").exists():
            _check_same(folder, settings)
        else:
            for left in folder.glob(
                "part-*.parquet"
            ):  # of a run that was killed while its folder was deleted
                left.unlink()
            _write_photos(folder / "photos.parquet", photos(), size)
            write_bytes(folder / "run.json", json.dumps(dict(settings), indent=2).encode())
        try:
            self._file = pyarrow.parquet.ParquetFile(folder / "photos.parquet")
        except (OSError, pyarrow.ArrowException) as error:
            raise _damaged(folder) from error
        about = self._file.metadata
        self.blocks, self.photos = about.num_row_groups, about.num_rows
        sizes = [about.row_group(number).num_rows for number in range(self.blocks)]
        self.sizes: dict[int, int] = dict(enumerate(sizes))

    def left(self) -> Iterator[Block]:
        """Yield the blocks that are not done; each is read as it is asked for."""
        for number in range(self.blocks):
            if not self._part(number).exists():
                yield Block(number, self._photos(number))

    def done(self) -> int:
        """Return the number of photos in blocks that are done."""
        return sum(size for number, size in self.sizes.items() if self._part(number).exists())

    def store(self, part: Part) -> int:
        """Store the rows of a block, which then is done; return its number of photos."""
        write_bytes(self._part(part.number), part.content)
        return self.sizes[part.number]

    def parts(self) -> Iterator[Path]:
        """Yield the files of all blocks, in order."""
        return map(self._part, range(self.blocks))

    def delete(self) -> None:
        """Delete the folder's files."""
        self._file.close()
        # First what makes the run one to be continued, so that no half of a run is left to continue.
        (self.folder / "run.json").unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def _photos(self, number: int) -> list[PhotoRef]:
        rows = self._file.read_row_group(number).to_pylist()
        return [PhotoRef(**{name: _text(value) for name, value in row.items()}) for row in rows]


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _bytes(value: Any) -> Any:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    try:
        begun = json.loads((folder / "run.json").read_text("utf-8"))
        other = sorted(name for name in settings if begun.get(name) != settings[name])
    except (OSError, ValueError, AttributeError) as error:
        raise _damaged(folder) from error
    if other:
        raise DataError(
            f"{shown(folder)}: a run that differs in {' and '.join(other)} was begun here; run that one "
            "again, or delete the folder"
        )


def _damaged(folder: Path) -> DataError:
    return DataError(f"{shown(folder)}: this run cannot be continued, a file is damaged; delete the folder")


def _write_photos(path: Path, photos: Iterable[PhotoRef], size: int) -> None:
    """Write the list of photos, ``size`` a row group."""
    import pyarrow as pa
    import pyarrow.parquet

    schema = pa.schema({name: pa.int64() if name in NUMBERS else pa.binary() for name in FIELDS})
    source = iter(photos)
    count = 0
    with (
        writing_whole(path) as stream,
        pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        while chunk := list(islice(source, size)):
            count += len(chunk)
            columns = {name: [_bytes(getattr(ref, name)) for ref in chunk] for name in FIELDS}
            writer.write_table(pa.table(columns, schema=schema), row_group_size=size)
        if not count:
            raise DataError("no photo is listed; check the sources")
