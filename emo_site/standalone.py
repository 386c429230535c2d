"""Starts Django for a program that is neither manage.py nor a server: import it before anything that has models."""

import os

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
if not apps.ready:
    django.setup()
