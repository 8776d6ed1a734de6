"""A detector that ends its process over photos of one color, and never returns from those of another."""

from __future__ import annotations

import os
import time

from facealike.types import Face, Image
from support.central_box import CentralBox

DEADLY, ENDLESS = (255, 0, 1), (255, 0, 2)


class Fragile(CentralBox):
    def detect(self, image: Image) -> list[Face]:
        color = tuple(image[0, 0].tolist())
        if color == DEADLY:
            os._exit(9)
        while color == ENDLESS:
            time.sleep(1)
        return super().detect(image)
