"""The options of the benchmarks that time galleries of random templates."""

from __future__ import annotations

import argparse


def template_options(description: str) -> argparse.ArgumentParser:
    """Return a parser with how many templates of which width, how many searches, the seed and ``--write``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=219, help="that of the default model")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="append the rows; fill the page")
    return parser
