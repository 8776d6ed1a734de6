"""Use an ONNX face network of your own: make a model file of it and score two photos.

The arguments of wrap_onnx say how its authors fed it; docs/guides/other-models.md lists those of known
networks.  A wrong one does not fail, it only lowers the accuracy.

python examples/import_onnx.py mine.onnx mine.facealike examples/photos/hopper.jpg examples/photos/collins.jpg
"""

from __future__ import annotations

import sys

from facealike import FacealikeError, Model, wrap_onnx


def main(network: str, out: str, a: str, b: str) -> None:
    wrap_onnx(network, normalize="arcface", license="not stated").write(out)
    model = Model.load(out)
    first, second = model.embed([a, b])
    print(f"{out}: embeddings of {len(first)} numbers, {model.calibration.state}")
    print(f"score {float(first @ second):.3f}")  # the rows are unit vectors: this is their cosine
    # Which score is high enough is learned from people: examples/calibrate_camera.py PEOPLE OUT MODEL.


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: import_onnx.py NETWORK.onnx OUT A B")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"import_onnx.py: {error}")
