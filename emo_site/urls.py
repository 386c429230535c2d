"""Where each page lives."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="reporting:orders"), name="home"),
    path("reports/", include("reporting.urls")),
    path("admin/", admin.site.urls),
]

handler500 = "emo_site.outages.server_error"
