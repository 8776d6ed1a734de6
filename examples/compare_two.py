"""Are these two photos of the same person?

python examples/compare_two.py examples/photos/hopper.jpg examples/photos/hopper-turned.jpg
"""

from __future__ import annotations

import sys

from facealike import FacealikeError, Model, compare


def main(a: str, b: str, model_path: str | None = None) -> None:
    model = Model.load(model_path)  # load once, compare often; without a path, the default model
    result = compare(a, b, model)
    print(result)
    print(f"{abs(result.score - result.threshold):.3f} from the threshold")
    for path, face in zip((a, b), result.faces, strict=True):
        print(f"{path}: {face}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: compare_two.py A B [MODEL]")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:  # one sentence: which file, what is wrong, what to do
        sys.exit(f"compare_two.py: {error}")
