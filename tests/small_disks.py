"""A disk that can be filled: in memory, and in a mount name space of the server's own, so that nothing of it stays."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tests.servers import Installation, Server, Unavailable

# The server wants an empty folder of its own; what fills the disk lies beside it.
SCRIPT = """
mount -t tmpfs -o "$1" none "$2" && mkdir "$2/space" && chown --reference="$2" "$2/space" && shift 2 && exec "$@"
"""


def give(server: Server, installation: Installation, size: str) -> Path:
    """The folder, as the server sees it, for its tables on a disk of `size` ("96m"). Before its first start.

    Raises Unavailable.
    """
    if os.geteuid() != 0:
        raise Unavailable("a disk of its own needs root")
    folder = server.folder / "disk"
    folder.mkdir()
    user = pwd.getpwnam(installation.user or "root")
    options = f"size={size},uid={user.pw_uid},gid={user.pw_gid},mode=700"
    server.command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", options, str(folder), *server.command]
    return installation.inside(folder) / "space"
