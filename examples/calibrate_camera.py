"""Learn what the scores of a model mean for the photos of one camera.

PEOPLE has one folder a person with photos that this camera took: PEOPLE/NAME/1.jpg.  At least ten people
need two photos, better 200: the interval of the threshold says whether there are enough.

python examples/calibrate_camera.py people camera.facealike
"""

from __future__ import annotations

import sys
from dataclasses import replace

from facealike import FacealikeError, Model, calibrate


def main(people: str, out: str, model_path: str | None = None) -> None:
    model = Model.load(model_path)
    calibration = calibrate(model, people, split="all")
    # The network stays as it is: embeddings and galleries of the model remain valid.
    replace(model.file, calibration=calibration).write(out)
    print(f"{out}: threshold {calibration.threshold:.3f} ({calibration.rule}), {calibration.threshold_from}")
    if calibration.band is not None:
        low, high = calibration.band
        print(f"95 % interval of the threshold: {low:.3f} to {high:.3f}")
    for point in calibration.operating_points:  # only the FMRs that so many pairs can support
        print(f"FMR {point.fmr:g}: threshold {point.threshold:.3f}, misses {point.fnmr:.1%} of genuine pairs")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: calibrate_camera.py PEOPLE OUT [MODEL]")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"calibrate_camera.py: {error}")
