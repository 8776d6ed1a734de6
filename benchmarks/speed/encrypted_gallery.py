"""What encryption costs a gallery in a file: to enroll, open, identify and forget, and to change the key.

    python -m benchmarks.speed.encrypted_gallery --write

The templates are those of ``benchmarks.speed.stores``.  "open" is ``Gallery.open``: of an encrypted gallery
it decrypts all vectors and keeps them in memory, of a plain one it checks the index file.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, append_rows, circumstances
from benchmarks.common.template_options import template_options
from benchmarks.speed.stores import PAGE, measure
from facealike.gallery.encryption import decrypt_gallery, encrypt_gallery, rekey_gallery
from facealike.gallery.gallery_key import write_new_key

CSV = RESULTS / "encrypted_gallery.csv"
PACKAGES = ("numpy", "cryptography")
HEADS = ("gallery", "enroll", "open", "first search", "identify, median", "forget", "size")
CHANGES = ("encrypt_s", "rekey_s", "decrypt_s")


def both(count: int, width: int, searches: int, seed: int) -> list[dict[str, object]]:
    """Return a row of a plain gallery and one of an encrypted one, which finds the same."""
    fixed = {
        **circumstances(*PACKAGES),
        "templates": count,
        "width": width,
        "searches": searches,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory() as folder:
        plain, encrypted = Path(folder) / "plain.db", Path(folder) / "encrypted.db"
        keys = Path(folder) / "1.key", Path(folder) / "2.key"
        for key in keys:
            write_new_key(key)
        first, found = measure(str(plain), count, width, searches, seed)
        second, same = measure(str(encrypted), count, width, searches, seed, key_file=keys[0])
        if found != same:
            raise SystemExit("the encrypted gallery finds other people than the plain one")
        times = [time.perf_counter()]
        for change in (
            lambda: encrypt_gallery(plain, keys[0]), lambda: rekey_gallery(plain, keys[1], keys[0]),
            lambda: decrypt_gallery(plain, keys[1]),
        ):  # fmt: skip
            change()
            times.append(time.perf_counter())
    spent = {name: f"{b - a:.1f}" for name, a, b in zip(CHANGES, times, times[1:], strict=False)}
    return [
        {**fixed, "gallery": "plain", **first, **spent},
        {**fixed, "gallery": "encrypted", **second, **dict.fromkeys(CHANGES, "")},
    ]


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as a table of the page."""
    lines = [f"| {' | '.join(HEADS)} |", "| --- |" + " ---: |" * (len(HEADS) - 1)]
    for row in rows:
        cells = (
            f"{row['enroll_s']} s", f"{row['open_s']} s", f"{row['first_ms']} ms",
            f"{row['identify_p50_ms']} ms", f"{row['forget_s']} s", f"{row['mib']} MiB",
        )  # fmt: skip
        lines.append(f"| {row['gallery']} | {' | '.join(cells)} |")
    one = rows[0]
    place = f"{one['date']} at commit {one['commit']} on {one['machine']}, seed {one['seed']}"
    return "\n".join(
        [
            *lines, "",
            f"To encrypt the plain gallery took {one['encrypt_s']} s, to encrypt it anew with another key "
            f"{one['rekey_s']} s, to decrypt it {one['decrypt_s']} s.",
            f"Measured {place}, with {one['versions']}.",
        ]
    )  # fmt: skip


def main() -> None:
    options = template_options("Time a plain and an encrypted gallery.").parse_args()
    rows = both(options.templates, options.width, options.searches, options.seed)
    for row in rows:
        print(row)
    if options.write:
        append_rows(CSV, rows)
        put(PAGE, "encryption", table(rows))


if __name__ == "__main__":
    main()
