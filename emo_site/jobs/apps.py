from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "emo_site.jobs"
    label = "jobs"
    verbose_name = "Background work"
