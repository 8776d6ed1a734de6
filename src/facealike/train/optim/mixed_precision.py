"""Mixed precision: bfloat16 where the processor has it, else float32.

bfloat16 halves the time of a step on processors with AVX-512 BF16 or AMX and on a GPU.  Other processors
emulate it, and a step takes more than ten times as long as in float32; there it is used only if the recipe
asks for it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from ..recipe.schema import Precision

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # names of processor capabilities; the last one is ARM's


def in_bfloat16(precision: Precision, device: str) -> bool:
    """Return whether products are computed in bfloat16 on a device of that type, "cpu" or "cuda"."""
    return computes_bfloat16(device) if precision == "auto" else precision == "bf16"


@cache
def computes_bfloat16(device: str) -> bool:
    """Return whether a device of that type, "cpu" or "cuda", has bfloat16 in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    read: Any = getattr(torch.cpu, "get_capabilities", dict)  # missing in older versions of torch
    capabilities = read()
    return any(capabilities.get(name, False) for name in BFLOAT16)


def digits(precision: Precision, device: str) -> str:
    """Return the precision for a model's card; ``device`` is as printed, "cuda:0 (...)"."""
    return "bfloat16" if in_bfloat16(precision, "cuda" if device.startswith("cuda") else "cpu") else "float32"


def autocast(precision: Precision, device: torch.device | str) -> torch.autocast:
    """Return the autocast context of ``precision`` on ``device``; see ``in_bfloat16``."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, in_bfloat16(precision, kind))
