#!/usr/bin/env python
"""Django's command line, with the desk's settings."""

import logging
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from emo_site.db.outage import is_outage

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A wrong setting is the operator's, not the program's: its message, no trace. 2 = nothing could be done.
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except Exception as error:  # the outermost edge
        # Python's own 1 would say "rows went to quarantine" or "not proven"; 2 is "could not" with every command.
        if is_outage(error):
            sys.stderr.write(f"The database can't be used: {' '.join(str(error).split())}\n")
        else:
            # The log masks what a trace may quote.
            logging.getLogger("emo.command").critical("manage.py %s failed", " ".join(sys.argv[1:2]), exc_info=True)
        sys.exit(2)
    finally:
        _record_errors()


def _record_errors() -> None:
    """What this command logged is to be seen on the health page, as what the web workers log."""
    from django.apps import apps

    if apps.ready:
        from monitoring import tallies

        tallies.write_at_the_end()


if __name__ == "__main__":
    main()
