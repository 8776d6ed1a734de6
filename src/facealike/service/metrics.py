"""What the service counts, in the text format of Prometheus; never a name, a score or an address."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .explainer import Explainer
from .face_queue import FaceQueue
from .galleries import Galleries

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "facealike_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "facealike_request_seconds", "Time to the end of the answer.", ["route"],
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; ``route`` is its pattern, not its path, which may name a person."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, queue: FaceQueue, explainer: Explainer, galleries: Galleries) -> None:
        """Also report the state of the queue, of what is explained, and of the galleries."""
        for name, text, value in (
            ("facealike_queue_photos", "Photos accepted and not answered.", lambda: queue.accepted),
            ("facealike_queue_capacity", "Most photos that are accepted.", lambda: queue.capacity),
            ("facealike_batches", "Batches embedded.", lambda: queue.engine.batches[0]),
            ("facealike_faces_embedded", "Faces embedded.", lambda: queue.engine.batches[1]),
            ("facealike_worker_processes", "Processes that embed.", lambda: queue.engine.running),
            ("facealike_worker_restarts", "Processes that were replaced.", lambda: queue.engine.restarts),
            ("facealike_explanations", "Comparisons that are explained now.", lambda: explainer.running),
            ("facealike_galleries_unusable", "Galleries that their operator must mend.", galleries.unusable),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all metrics as text."""
        return bytes(generate_latest(self._registry))
