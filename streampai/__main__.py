"""``python -m streampai``: the same as the ``streampai`` command."""

import sys

from .cli.main import main

sys.exit(main())
