from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"
    # What the desk does with its tables; emo_site/db/roles.py grants its role no more. Rows leave by retention, which
    # runs as the owner; events are updated by ingest_events --on-conflict update.
    app_privileges = {
        "MarketEvent": ("SELECT", "INSERT", "UPDATE"),
        "SystemHealth": ("SELECT", "INSERT"),
        "HealthHour": ("SELECT", "INSERT", "UPDATE"),
        "IngestCheckpoint": ("SELECT", "INSERT", "UPDATE"),
        "RetentionRun": ("SELECT",),
        "ComponentState": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "Incident": ("SELECT", "INSERT", "UPDATE"),
        "AlertChannel": ("SELECT", "INSERT", "UPDATE"),
        "AlertRule": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "Silence": ("SELECT", "INSERT", "UPDATE"),
        "Notification": ("SELECT", "INSERT", "UPDATE"),
        "ToldIncident": ("SELECT", "INSERT"),
        # The desk itself lets them go after a week.
        "ErrorMinute": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "RequestMinute": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    }

    def ready(self) -> None:
        from emo_site.metrics import publishing
        from monitoring import tallies

        publishing.also(tallies.write)
