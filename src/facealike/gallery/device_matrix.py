"""The 8-bit vectors of an index file on a GPU: the pass over the file, as a product by torch.

The matrix holds what the file holds, a byte a number, and follows it: rows that were appended are copied,
rows that were blanked are overwritten, and a file that was replaced is copied anew.  What does not fit on the
device stays in the file and is copied in parts for each search.  Codes are whole numbers up to 127, which 16
bits hold exactly; the query is rounded to 16 bits.  The collected rows are scored again with their float32
vectors, as those of the pass on the CPU are, so both give the same answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, UsageError
from ..utils.extras import needs_extra
from .row_file import BLOCK, RowFile
from .scan import ROUNDING, Collected, Pool, padded

if TYPE_CHECKING:
    import torch

PART_BLOCKS = 16
"""Blocks of the file that are multiplied together: 262,144 rows."""

SHARE = 0.7
"""Share of the free memory of a device that the matrix may take; scores and parts need the rest."""

HALF = 2.0**-11
"""Largest relative error of rounding to 16 bits."""

SUMS = 8
"""Roundings of a sum to 16 bits: the last one, and those of partial sums that a GPU may add in 16 bits."""


def find_device(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: ``cuda:N``.

    Raises:
        UsageError: The name is no device.
        MissingExtra: torch is not installed.
        DeviceError: The device is not there.
    """
    named = re.fullmatch(r"cuda:(\d{1,3})", name)
    if named is None:
        raise UsageError(f"the device of a search is cpu or cuda:N, not {name!r}")
    with needs_extra("gpu", "a search on a GPU"):
        import torch
    count = torch.cuda.device_count()
    if int(named[1]) >= count:
        found = f"{count} GPU{'' if count == 1 else 's'}"
        raise DeviceError(f"{name}: torch {torch.__version__} finds {found} here; search on the cpu")
    return torch.device(name)


def open_matrix(device: str) -> DeviceMatrix | None:
    """Return an empty matrix on ``cuda:N``, and None for ``cpu``, which searches the file itself.

    Raises:
        UsageError, MissingExtra, DeviceError: See ``find_device``.
    """
    return None if device == "cpu" else DeviceMatrix(find_device(device))


class _Part(NamedTuple):
    """Rows on the device: codes (n, d) and scales (n, 1); those beyond the last row are not set."""

    codes: torch.Tensor
    scales: torch.Tensor


class DeviceMatrix:
    """The vectors of an index file in 8 bits on a device.

    Args:
        device: The device.
        limit: Most bytes that stay on the device; None takes a share of what is free.
    """

    def __init__(self, device: torch.device, limit: int | None = None) -> None:
        self._device, self._limit = device, limit
        self.clear()

    def clear(self) -> None:
        """Give the memory back."""
        self._file: RowFile | None = None  # held open, so that no other file gets its inode
        self._parts: list[_Part] = []
        self._live = np.zeros(0, np.bool_)
        self._sum, self._full = 0, False

    def follow(self, file: RowFile) -> None:
        """Take over what has changed in the file."""
        if self._file is None or self._file.inode != file.inode or file.rows < len(self._live):
            self.clear()
        if self._file is None or file.rows > len(self._live) or file.sum != self._sum:
            self._blank(file)
            self._append(file)
        self._file, self._sum = file, file.sum

    def _blank(self, file: RowFile) -> None:
        """Overwrite rows that were blanked in the file."""
        for number, start in enumerate(range(0, len(self._live), PART_BLOCKS * BLOCK)):
            held = self._live[start : start + PART_BLOCKS * BLOCK]
            gone = np.flatnonzero(held & ~_live(file, start, len(held)))
            held[gone] = False
            if len(gone) and number < len(self._parts):
                self._overwrite(self._parts[number], gone)

    def _overwrite(self, part: _Part, rows: NDArray[np.int64]) -> None:
        import torch

        at = torch.from_numpy(rows).to(self._device)
        part.codes[at] = 0
        part.scales[at] = 0

    def _append(self, file: RowFile) -> None:
        """Copy rows that the file has and the device lacks, as long as they fit."""
        first = len(self._live)
        self._live = np.concatenate([self._live, _live(file, first, file.rows - first)])
        for block in range(first // BLOCK, -(-file.rows // BLOCK)):
            number, at = divmod(block, PART_BLOCKS)
            if number == len(self._parts) and not self._full:
                self._full = not self._add_part(file.column("code", 0).shape[1])
            if number >= len(self._parts):
                return
            part, low = self._parts[number], at * BLOCK
            codes, scales = self._block(file, block)
            part.codes[low : low + len(codes)] = codes
            part.scales[low : low + len(codes)] = scales
            gone = np.flatnonzero(~self._live[block * BLOCK : block * BLOCK + len(codes)])
            if len(gone):  # another process may be about to overwrite them in the file
                self._overwrite(part, low + gone)

    def _add_part(self, width: int) -> bool:
        """Make room for one more part; return whether it fits."""
        import torch

        rows = PART_BLOCKS * BLOCK
        need = rows * (width + 4)
        if self._limit is not None:
            if (len(self._parts) + 1) * need > self._limit:
                return False
        elif self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            held = len(self._parts) * need
            if held + need > SHARE * (free + held):
                return False
        codes = torch.empty((rows, width), dtype=torch.int8, device=self._device)
        scales = torch.empty((rows, 1), dtype=torch.float32, device=self._device)
        self._parts.append(_Part(codes, scales))
        return True

    def _block(self, file: RowFile, block: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes and scales of a block, copied to the device."""
        import torch

        # Copied first: torch warns of arrays that cannot be written.
        codes, scales = file.column("code", block).copy(), file.column("scale", block).copy()
        return torch.from_numpy(codes).to(self._device), torch.from_numpy(scales[:, None]).to(self._device)

    def _part(self, file: RowFile, number: int, rows: int) -> _Part:
        """Return a part, copied from the file where it does not stay on the device."""
        import torch

        if number < len(self._parts):
            part = self._parts[number]
            return _Part(part.codes[:rows], part.scales[:rows])
        first = number * PART_BLOCKS
        blocks = [self._block(file, block) for block in range(first, first + -(-rows // BLOCK))]
        return _Part(torch.cat([codes for codes, _ in blocks]), torch.cat([scales for _, scales in blocks]))

    def collect(self, file: RowFile, queries: NDArray[np.float32], best: int) -> list[Collected]:
        """Return what ``scan.collect`` does of an 8-bit file.

        Args:
            file: The file.
            queries: Unit vectors (q, d).
            best: How many rows.

        Raises:
            DeviceError: The memory of the device is full.
        """
        import torch

        try:
            self.follow(file)
            return self._collect(file, queries, best)
        except torch.OutOfMemoryError as error:
            self.clear()
            raise DeviceError(
                f"{self._device}: no memory is left there for a search; end other programs on it, or search "
                "on the cpu"
            ) from error

    def _collect(self, file: RowFile, queries: NDArray[np.float32], best: int) -> list[Collected]:
        import torch

        wide = np.zeros((len(queries), padded(queries.shape[1])), np.float32)
        wide[:, : queries.shape[1]] = queries
        rounded = wide.astype(np.float16)
        left = np.linalg.norm(wide - rounded, axis=1)
        norms = np.linalg.norm(wide, axis=1)
        errors = norms * file.error + (left + SUMS * HALF * norms) * (1 + file.error) + ROUNDING
        pool = Pool(best, 2 * errors)
        across = torch.from_numpy(np.ascontiguousarray(rounded.T)).to(self._device)
        reached = torch.full((best, len(queries)), -torch.inf, device=self._device)
        margins = torch.from_numpy(2 * errors).to(self._device)
        rows_of_part = PART_BLOCKS * BLOCK
        for number, start in enumerate(range(0, file.rows, rows_of_part)):
            part = self._part(file, number, min(rows_of_part, file.rows - start))
            scores = (part.codes.half() @ across).float() * part.scales
            scores.masked_fill_(part.scales == 0, -torch.inf)  # blanked
            reached = torch.cat([reached, torch.topk(scores, min(best, len(scores)), dim=0).values])
            reached = torch.topk(reached, best, dim=0).values
            rows, which = torch.nonzero(scores > reached[-1] - margins, as_tuple=True)
            near = scores[rows, which].cpu().numpy()
            pool.add(rows.cpu().numpy() + start, which.cpu().numpy(), near)
        return pool.collected(errors)


def _live(file: RowFile, first: int, count: int) -> NDArray[np.bool_]:
    """Return whether each of some rows has a mark, (count,)."""
    blocks = range(first // BLOCK, -(-(first + count) // BLOCK))
    marks = np.concatenate([np.zeros(0, np.uint64), *(file.column("mark", block) for block in blocks)])
    live: NDArray[np.bool_] = marks[first % BLOCK : first % BLOCK + count] != 0
    return live
