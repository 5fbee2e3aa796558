"""Progress as other programs read it: JSON, and Prometheus' text format."""

from dataclasses import asdict

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.monitor.coverage import Count
from MetaCaptioner.monitor.progress import Progress
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.text import shown


def as_json(progress: Progress) -> Record:
    """All that is known, for scripts; counts are of samples, rates in samples a second."""
    return {
        "time": round(progress.time, 3),
        **_counts(progress.all),
        "rate": _rounded(progress.rate),
        "rate_overall": _rounded(progress.rate_overall),
        "eta_seconds": _rounded(progress.eta_seconds),
        "datasets": {name: _counts(count) for name, count in progress.datasets.items()},
        "ranks": [
            {
                "rank": one.rank,
                "state": one.state,
                **_counts(one.count),
                "rate": _rounded(one.rate),
                "eta_seconds": _rounded(one.eta_seconds),
                "idle_seconds": _rounded(one.idle_seconds),
            }
            for one in progress.ranks
        ],
        "standing_still": [one.rank for one in progress.standing_still()],
        **asdict(progress.oddities),
        "notes": progress.notes,
    }


def _counts(count: Count) -> Record:
    figures = {"total": count.total, "done": count.done, "ok": count.ok, "failed": count.failed}
    return {**figures, "without_media": count.without_media, "remaining": count.remaining, "errors": count.errors}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def as_prometheus(progress: Progress) -> bytes:
    """The same as a textfile for Prometheus' node exporter."""
    registry = CollectorRegistry()

    def gauge(name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"metacaptioner_{name}", what, labels, registry=registry)

    gauge("status_timestamp_seconds", "When these figures were taken.").set(progress.time)
    if progress.rate is not None:
        gauge("samples_per_second", "Samples that all ranks do a second now.").set(progress.rate)
    if progress.eta_seconds is not None:
        gauge("eta_seconds", "Until the last rank that makes progress is through.").set(progress.eta_seconds)
    samples = gauge("samples", "Samples of a dataset that are to be done.", "dataset")
    ok = gauge("samples_ok", "Samples of a dataset that ended well.", "dataset")
    failed = gauge("samples_failed", "Samples of a dataset that ended in an error.", "dataset", "kind")
    without_media = gauge("samples_without_media", "Rows of a dataset that no stage can use.", "dataset")
    for name, count in ((shown(name), count) for name, count in progress.datasets.items()):
        samples.labels(name).set(count.total)
        ok.labels(name).set(count.ok)
        without_media.labels(name).set(count.without_media)
        for kind, errors in count.errors.items():
            if kind != ErrorKind.NO_MEDIA:
                failed.labels(name, shown(kind)).set(errors)
    assigned = gauge("rank_samples", "Samples that the plan gives to a rank.", "rank")
    done = gauge("rank_samples_done", "Samples of a rank that have a record, failed ones included.", "rank")
    rate = gauge("rank_samples_per_second", "Samples that a rank does a second now.", "rank")
    idle = gauge("rank_idle_seconds", "Seconds since the last sign of life of a rank that is not done.", "rank")
    state = gauge("rank_state", "1 for the state that a rank is in.", "rank", "state")
    for one in progress.ranks:
        assigned.labels(one.rank).set(one.count.total)
        done.labels(one.rank).set(one.count.done)
        state.labels(one.rank, one.state).set(1)
        if one.rate is not None:
            rate.labels(one.rank).set(one.rate)
        if one.idle_seconds is not None and one.count.remaining:
            idle.labels(one.rank).set(one.idle_seconds)
    return generate_latest(registry)
