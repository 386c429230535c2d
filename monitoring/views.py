"""Answers for load balancers and for what collects metrics: no login, no secrets, no session."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emo_site.db.aliases import is_replica, is_shard
from monitoring import exposition, metrics_access
from monitoring.choices import HealthStatus
from monitoring.health import Probe, SharedRun
from monitoring.probes import DatabaseProbe, MigrationsProbe

READY_TIMEOUT_SECONDS = 2.0
_shared = SharedRun(max_age=1.0)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while this process answers at all."""
    return JsonResponse({"status": "alive"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while every database but replicas and shards can be used and is migrated; else 503, naming which can't.

    Where one shard is lost, what is on the others is asked for, and orders are.
    """
    aliases = [alias for alias in settings.DATABASES if not (is_replica(alias) or is_shard(alias))]
    probes: list[Probe] = [probe(alias=alias) for alias in aliases for probe in (DatabaseProbe, MigrationsProbe)]
    results = _shared.results(probes, timeout=READY_TIMEOUT_SECONDS)
    # Only the verdict: messages of a driver name hosts and users.
    databases = {result.name: str(result.finding.status) for result in results}
    ready = all(result.finding.status != HealthStatus.ERROR for result in results)
    return JsonResponse(
        {"status": "ready" if ready else "not ready", "checks": databases}, status=200 if ready else 503
    )


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All figures, in the OpenMetrics text or Prometheus' older one; 404 where nobody may read them, else 403."""
    tokens, networks = settings.EMO_METRICS_TOKENS, settings.EMO_METRICS_NETWORKS
    if not tokens and not networks:
        return HttpResponse("not found\n", status=404, content_type="text/plain")
    allowed = metrics_access.may_read(
        authorization=request.headers.get("Authorization", ""),
        peer=request.META.get("REMOTE_ADDR", ""),
        forwarded=any(header in request.headers for header in metrics_access.FORWARDED),
        tokens=tokens,
        networks=networks,
    )
    if not allowed:
        return HttpResponse("forbidden\n", status=403, content_type="text/plain")
    content, content_type = exposition.text(accept=request.headers.get("Accept", ""))
    return HttpResponse(content, content_type=content_type)
