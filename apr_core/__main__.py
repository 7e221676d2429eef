"""`python -m apr_core`."""

import sys

from apr_core.cli import main

sys.exit(main())
