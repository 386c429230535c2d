"""The project package: wiring on top (settings, urls, wsgi), database plumbing below (db), nothing between."""

__version__ = "0.1.0"
