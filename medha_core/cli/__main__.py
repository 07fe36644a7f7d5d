"""`python -m medha_core.cli`, for where the command itself is not on the PATH."""

import sys

from medha_core.cli import main

sys.exit(main())
