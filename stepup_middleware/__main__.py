"""``python -m stepup_middleware`` is the command ``stepup``."""

import sys

from stepup_middleware.cli import main

sys.exit(main())
