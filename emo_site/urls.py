"""Where each page lives."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from emo_site.api.desk_api import unknown_route
from emo_site.api.reference import page_of
from emo_site.api.v1 import api

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="reporting:orders"), name="home"),
    path("reports/", include("reporting.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/docs", page_of(api), name="api_reference"),
    path("api/v1/", api.urls),
    re_path("^api/", unknown_route),
]

handler500 = "emo_site.outages.server_error"
