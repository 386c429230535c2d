"""The report pages, below /reports/."""

from django.urls import path
from django.views.generic import RedirectView

from reporting import saved_views, strategy_views, views

app_name = "reporting"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="reporting:orders")),
    path("institutional/", views.institutional, name="institutional"),
    path("orders/", views.orders, name="orders"),
    path("orders/views/save/", saved_views.save, name="save_view"),
    path("orders/views/<int:view_id>/rename/", saved_views.rename, name="rename_view"),
    path("orders/views/<int:view_id>/delete/", saved_views.delete, name="delete_view"),
    path("strategies/", strategy_views.strategies, name="strategies"),
    path("strategies/<path:name>/", strategy_views.strategy, name="strategy"),
]
