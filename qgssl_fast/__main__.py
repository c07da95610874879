"""``python -m qgssl_fast`` is ``qgssl-fast``."""

import sys

from .cli.main import main

sys.exit(main())
