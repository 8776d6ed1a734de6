"""The errors that are stated of each package are those of its pairs, and each package is called somewhere."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import measure, worker


def test_each_peer_is_installed_and_called() -> None:
    peers = measure.read_peers()[0]
    assert set(peers) == set(worker.PEERS)
    assert all(peer["install"] and peer["about"] and peer["licence"] for peer in peers.values())


@pytest.mark.parametrize("name", ["opencv", "face_recognition"])
def test_errors_are_those_of_the_pairs(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(100), 3)
    vectors = rng.normal(size=(100, 128))[labels] + 0.9 * rng.normal(size=(300, 128))
    vectors = (vectors / 20).astype(np.float32)
    scores, same = [], []
    for a, b in combinations(range(300), 2):
        one, other = vectors[a].astype(float), vectors[b].astype(float)
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        scores.append(cosine if name == "opencv" else -np.linalg.norm(one - other))
        same.append(labels[a] == labels[b])
    score, truth = np.array(scores), np.array(same)
    own = float(np.median(score[truth]))
    row = measure.accuracy(name, vectors, labels, own)
    assert float(row["own_fnmr"]) == pytest.approx(100 * (score[truth] < own).mean(), abs=0.01)
    assert float(row["own_fmr"]) == pytest.approx(100 * (score[~truth] >= own).mean(), abs=0.001)
    limit = np.sort(score[~truth])[-int(1e-3 * (~truth).sum())]  # so many impostor pairs pass, and no more
    assert float(row["fnmr_at_0.001"]) == pytest.approx(100 * (score[truth] < limit).mean(), abs=3)
    assert float(row["low_0.001"]) <= float(row["fnmr_at_0.001"]) <= float(row["high_0.001"])


def test_a_photo_without_a_face_is_counted(tmp_path: Path) -> None:
    for name in ("one.jpg", "none.jpg", "other.jpg"):
        (tmp_path / name).touch()
    photos = [str(tmp_path / name) for name in ("one.jpg", "none.jpg", "other.jpg")]

    def embed(photo: str) -> np.ndarray | None:
        return None if "none" in photo else np.ones(3, np.float32)

    worker.embed_list(embed, photos, str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as found:
        assert found["found"].tolist() == [True, False, True]
        assert found["vectors"].shape == (2, 3) and found["ms"].shape == (3,) and found["peak_mib"] > 1
