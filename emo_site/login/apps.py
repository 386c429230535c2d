from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class LoginConfig(AppConfig):
    name = "emo_site.login"
    label = "login"
    verbose_name = "Logging in"

    def ready(self) -> None:
        from emo_site.login.session_store import note_beginning

        user_logged_in.connect(note_beginning, dispatch_uid="emo_session_began")
