"""The door for the production server: gunicorn emo_site.wsgi."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")

application = get_wsgi_application()

from emo_site.metrics import publishing  # noqa: E402  # it reads the settings

publishing.start()
