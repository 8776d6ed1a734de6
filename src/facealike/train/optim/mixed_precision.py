"""In how many bits a network is trained: 16 where the processor computes in them, else 32.

bfloat16 halves the time of a step on processors with AVX-512 BF16 or AMX, and on a GPU.  On any other
processor it is emulated, which makes a step more than ten times as slow as plain float32 does
(docs/results/training.md has the figures), so it is never taken there unless a recipe insists.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from ..recipe.schema import Precision

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # of a processor's capabilities; the last one is ARM's


def in_bfloat16(precision: Precision, device: str) -> bool:
    """Whether products are computed in bfloat16 on a device of that type, "cpu" or "cuda"."""
    return computes_bfloat16(device) if precision == "auto" else precision == "bf16"


@cache
def computes_bfloat16(device: str) -> bool:
    """Whether a device of that type, "cpu" or "cuda", has bfloat16 of its own."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told: Any = getattr(torch.cpu, "get_capabilities", dict)  # an older torch does not tell
    capabilities = told()
    return any(capabilities.get(name, False) for name in BFLOAT16)


def digits(precision: Precision, device: str) -> str:
    """What a model's card says of it; ``device`` is as ``choose_device`` names it, "cuda:0 (...)"."""
    return "bfloat16" if in_bfloat16(precision, "cuda" if device.startswith("cuda") else "cpu") else "float32"


def autocast(precision: Precision, device: torch.device | str) -> torch.autocast:
    """The context in which a network's products are computed as ``in_bfloat16`` says."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, in_bfloat16(precision, kind))
