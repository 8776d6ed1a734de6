"""Group the photos of a folder by person, without names.

python examples/cluster_folder.py examples/photos by-person
"""

from __future__ import annotations

import sys

from facealike import FacealikeError, cluster


def main(folder: str, out: str) -> None:
    result = cluster(folder)
    print(result)
    for person in range(1, result.people + 1):
        print(f"person {person}: {', '.join(face.photo for face in result.faces_of(person))}")
    for pair in result.review:  # just below the threshold: a look decides
        print(pair)
    # Links to the photos, one folder a person, and a page of faces; the photos stay where they are.
    print(result.save(out))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: cluster_folder.py FOLDER OUT")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"cluster_folder.py: {error}")
