"""The environment, read literally."""

from __future__ import annotations

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured


class Env(environ.FileAwareEnv):  # type: ignore[misc]
    """
    Variables by name, NAME_FILE included.

    django-environ takes a value that begins with ``$`` for another variable's name,
    and prints it when there is none; here it may be a secret.
    """

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **kwargs: Any
    ) -> Any:
        value = self.ENVIRON.get(var)
        try:
            if isinstance(value, str) and value.startswith("$"):
                return self.parse_value(value, cast)
            return super().get_value(var, cast, default, **kwargs)
        except ValueError:
            # Without its cause, which quotes the value.
            msg = f"The value of {var} in the environment cannot be read."
            raise ImproperlyConfigured(msg) from None


env = Env()
