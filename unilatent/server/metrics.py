"""Figures for Prometheus: requests, queues, batches, latency to the first audio, real-time factor."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 40, 80, 160)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kind: dict[str, Any] = {"registry": self.registry, "namespace": "unilatent"}
        labels = ("model",)
        self.requests = Counter("requests", "Requests by endpoint and status.", ("endpoint", "status"), **kind)
        self.seconds = Histogram("request_seconds", "Time of an answer.", ("endpoint",), buckets=_SECONDS, **kind)
        self.waiting = Gauge("queue_requests", "Requests that wait for a model.", labels, **kind)
        self.streams = Gauge("open_streams", "Recordings that a model follows while they are made.", labels, **kind)
        self.rows = Histogram("batch_rows", "Texts in one step.", labels, buckets=(1, 2, 4, 8, 16, 32, 64), **kind)
        self.first_audio = Histogram(
            "first_audio_seconds", "From a request to its first audio.", labels, buckets=_SECONDS, **kind
        )
        self.real_time_factor = Histogram(
            "real_time_factor",
            "Seconds of work on a request for each second of its audio.",
            labels,
            buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
            **kind,
        )
        self.audio = Counter("audio_seconds", "Audio that was made or heard.", labels, **kind)
        self.dropped = Counter("dropped_answers", "Answers that were not sent to their end.", ("reason",), **kind)

    def of(self, model: str) -> ModelMetrics:
        """The figures of one model."""
        return ModelMetrics(self, model)

    def text(self) -> bytes:
        """All figures in the format of Prometheus."""
        return generate_latest(self.registry)


class ModelMetrics:
    """The figures of one model."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics, self._model = metrics, model
        self.waiting(0)

    def waiting(self, count: int) -> None:
        """Note how many requests wait."""
        self._metrics.waiting.labels(self._model).set(count)

    def streams(self, count: int) -> None:
        """Note how many recordings are followed."""
        self._metrics.streams.labels(self._model).set(count)

    def rows(self, count: int) -> None:
        """Note the size of a batch."""
        self._metrics.rows.labels(self._model).observe(count)

    def first_audio(self, seconds: float) -> None:
        """Note how long a request waited for its first audio."""
        self._metrics.first_audio.labels(self._model).observe(seconds)

    def worked(self, audio_seconds: float, work_seconds: float) -> None:
        """Note the audio of a whole answer, spoken or heard."""
        self._metrics.audio.labels(self._model).inc(audio_seconds)
        if audio_seconds:
            self._metrics.real_time_factor.labels(self._model).observe(work_seconds / audio_seconds)
