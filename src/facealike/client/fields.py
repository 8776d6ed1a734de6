"""Fields that several requests have: a photo, a person, a face policy, rates."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema

GALLERY_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Names of galleries: no dot, no slash and no case, so that none leads out of the folder of galleries."""

MOST_PHOTOS = 16
"""Photos of one enrollment."""

MOST_CLUSTERED = 128
"""Photos of one request that are grouped by person."""

DEFAULT_PEOPLE, MOST_PEOPLE = 100, 1000
"""Enrolled people of a page: without a stated limit, and at most."""


def _decoded(value: Any) -> Any:
    """Return the bytes of a photo; base64 where it came in JSON."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a photo in JSON is base64 (RFC 4648) of its file") from None


_AS_BASE64 = PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str)

Photo: TypeAlias = Annotated[
    bytes,
    Field(min_length=1),
    BeforeValidator(_decoded),
    _AS_BASE64,
    WithJsonSchema(
        {
            "type": "string",
            "format": "byte",
            "contentEncoding": "base64",
            "minLength": 1,
            "description": "The content of a JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF file.",
        }
    ),
]
"""The content of a photo's file; base64 in JSON."""

Picture: TypeAlias = Annotated[
    bytes,
    BeforeValidator(_decoded),
    _AS_BASE64,
    WithJsonSchema(
        {
            "type": "string",
            "format": "byte",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "A PNG.",
        },
        mode="serialization",
    ),
]
"""A PNG of an answer; base64 in JSON."""

GalleryName: TypeAlias = Annotated[str, StringConstraints(pattern=GALLERY_NAME)]
"""The name of a gallery of the service."""

Person: TypeAlias = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
    ),
]
"""A name without control characters."""

OneFace: TypeAlias = Annotated[
    Literal["largest", "central", "only"],
    Field(description="Which face of a photo is meant, if it shows several."),
]
PairFace: TypeAlias = Annotated[
    Literal["largest", "central", "only", "any"],
    Field(description="Which face of a photo is meant; any compares all faces and takes the best pair."),
]
AnyFace: TypeAlias = Annotated[
    Literal["largest", "central", "only", "all"],
    Field(description="Which face of the photo is meant; all returns every face."),
]
FaceNumber: TypeAlias = Annotated[
    int, Field(ge=1, le=1000, description="The face meant, by its place in the answer of detect, from 1.")
]
Prior: TypeAlias = Annotated[
    float, Field(gt=0, lt=1, allow_inf_nan=False, description="Share of genuine pairs, for the probability.")
]
Threshold: TypeAlias = Annotated[
    float, Field(ge=-1, le=1, allow_inf_nan=False, description="Cosine from which on the verdict is same.")
]
Rate: TypeAlias = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
