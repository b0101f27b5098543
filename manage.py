#!/usr/bin/env python
"""Run the example site's commands."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        # It names a setting: what the operator needs, without the way there.
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
