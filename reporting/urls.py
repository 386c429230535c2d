"""The report pages, below /reports/."""

from django.urls import path
from django.views.generic import RedirectView

from reporting import views

app_name = "reporting"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="reporting:orders")),
    path("institutional/", views.institutional, name="institutional"),
    path("orders/", views.orders, name="orders"),
]
