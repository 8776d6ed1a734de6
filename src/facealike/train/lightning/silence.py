"""Suppress the log messages and warnings of Lightning and torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

CHATTY = ("lightning", "lightning.pytorch", "lightning.fabric", "torch.onnx", "onnxscript", "onnx_ir")
OTHERS = (
    r"(lightning|lightning_utilities|torch|torchmetrics|onnxscript|onnx_ir|copyreg|rich|tensorboard)(\.|$)"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Log only errors of these libraries, and drop warnings raised within them, until the block ends.

    Warnings of facealike and of other code still show.
    """
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=OTHERS)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
