"""Use a facealike service over HTTP: the client, and the schemas of what travels.

from facealike.client import Client

with Client("http://127.0.0.1:8000") as client:
    print(client.compare("one.jpg", "other.jpg").verdict)
"""

from ..utils.extras import needs_extra

with needs_extra("client", "the client of the service"):
    from .client import Client
    from .clustering import Clustered
    from .explanation import Explained
    from .model_description import ModelDescription
    from .schemas import (
        Compared,
        Detected,
        Embedded,
        Enrolled,
        Forgotten,
        Identified,
        Verified,
    )

__all__ = [
    "Client",
    "Clustered",
    "Compared",
    "Detected",
    "Embedded",
    "Enrolled",
    "Explained",
    "Forgotten",
    "Identified",
    "ModelDescription",
    "Verified",
]
