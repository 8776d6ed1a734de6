"""Start the service in a process of its own, ask it, and stop it (needs facealike[serve]).

python examples/ask_service.py examples/photos/hopper.jpg examples/photos/hopper-turned.jpg
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from facealike import FacealikeError
from facealike.client import Client


@contextmanager
def service(data: str) -> Iterator[str]:
    """Start a service on a free port and return its address; stop it afterwards."""
    command = [sys.executable, "-m", "facealike", "serve", "--port", "0", "--data", data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()  # "facealike answers at http://127.0.0.1:40123 ..."
            if "http://" not in line:
                sys.exit("ask_service.py: the service did not start; its message stands above")
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.terminate()  # requests in work are finished


def main(a: str, b: str) -> None:
    with (
        tempfile.TemporaryDirectory() as data,
        service(data) as address,
        Client(address) as client,
    ):
        result = client.compare(a, b)
        print(*result.sentences, sep="\n")
        client.enroll("visitors", "first", a)
        print(client.identify("visitors", b).decision)
        print(f"templates removed: {client.forget('visitors', 'first').removed}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: ask_service.py A B")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"ask_service.py: {error}")
