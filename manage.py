#!/usr/bin/env python
"""Django's command line, with the desk's settings."""

import os
import sys
import traceback


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
    except Exception as error:  # noqa: BLE001  # the outermost edge
        # Python's own 1 would say "rows went to quarantine" or "not proven"; 2 is "could not" with every command.
        if is_outage(error):
            sys.stderr.write(f"The database can't be used: {' '.join(str(error).split())}\n")
        else:
            traceback.print_exc()
        sys.exit(2)


if __name__ == "__main__":
    main()
