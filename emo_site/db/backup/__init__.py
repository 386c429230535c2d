"""Backups: every database in one encrypted archive, restored beside the live one, proven, and swapped in."""
