from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"
    # What the desk does with its tables; emo_site/db/roles.py grants its role no more. No order is ever deleted.
    app_privileges = {
        "StagedOrder": ("SELECT", "INSERT", "UPDATE"),
        "OrderLeg": ("SELECT", "INSERT"),
        "ExecutedOrder": ("SELECT", "INSERT"),
        "PolicyVersion": ("SELECT", "INSERT", "UPDATE"),
        # A trigger adds them with each event; whoever reads the feed takes them away.
        "OrderNews": ("SELECT", "INSERT", "DELETE"),
    }

    def ready(self) -> None:
        from orders import checks  # noqa: F401  # registers the system checks
