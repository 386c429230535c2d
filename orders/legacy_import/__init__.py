"""Takes over what the bot has already written: old files and databases -> workflow.stage, monitoring.events.record.

One transaction for each file, the originals untouched, and every item imported, skipped or refused with its reason.
"""

from orders.legacy_import.intake import import_paths
from orders.legacy_import.report import FileReport, ImportReport, Refusal

__all__ = ["FileReport", "ImportReport", "Refusal", "import_paths"]
