"""``python -m tests.frontends``: build the front ends with what npm's registry has, and step up in them in Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent), *sys.argv[1:]]
    sys.exit(subprocess.run(command, env={**os.environ, "STEPUP_FRONTENDS": "1"}, check=False).returncode)
