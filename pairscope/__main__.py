"""`python -m pairscope`."""

import sys

from pairscope.cli import main

sys.exit(main())
