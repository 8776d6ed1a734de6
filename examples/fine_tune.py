"""Train the default model further on your own people and compare the two (needs facealike[train]).

PEOPLE has one folder a person: PEOPLE/NAME/1.jpg.  Further arguments replace entries of the recipe.

python examples/fine_tune.py people mine.facealike training.epochs=2
"""

from __future__ import annotations

import sys

from facealike import FacealikeError
from facealike import train as training


def main(people: str, out: str, *overrides: str) -> None:
    result = training.train(people, training.load_recipe("fine-tuned", overrides), out)
    for evaluation in result.evaluations:  # people of the test split were used for nothing else
        print(evaluation)
    if result.comparison is not None:
        print(f"compared with the default model: {result.comparison}")
    for warning in result.warnings:
        print(f"warning: {warning}")
    print(f"model {result.model_path}, curves and tables in {result.run}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: fine_tune.py PEOPLE OUT [TABLE.KEY=VALUE]...")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"fine_tune.py: {error}")
