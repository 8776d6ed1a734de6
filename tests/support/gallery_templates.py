"""Templates of no photo, for tests of a gallery's store."""

from __future__ import annotations

import hashlib

import numpy as np

from facealike.gallery.template import Template


def template(seed: int) -> Template:
    """A random unit vector, 16 wide, with the digest of its seed."""
    vector = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    digest = hashlib.sha256(str(seed).encode()).hexdigest()
    return Template(vector / np.linalg.norm(vector), digest, 0.5 if seed % 2 else None, f"s-{seed}.jpg")
