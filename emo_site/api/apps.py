from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "emo_site.api"
    label = "api"
    verbose_name = "HTTP API"
    # What the desk does with its tables: a token is revoked, never taken away. The two that are left out are pruned.
    app_privileges = {"ApiToken": ("SELECT", "INSERT", "UPDATE")}
