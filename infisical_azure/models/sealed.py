"""Rows with ciphertext, which is read only where it is asked for."""

from __future__ import annotations

from typing import Any, Self, cast

from django.db import models

from ..fields import EncryptedTextField


class SealedQuerySet(models.QuerySet[Any]):
    """Rows whose column `secret` is encrypted."""

    def with_secret(self) -> Self:
        """
        Read the ciphertext along, and what it is bound to: to open it costs no query then.

        Not for UPDATEs: what is bound to may be in other tables, which makes them two queries.
        """
        field = cast("EncryptedTextField", self.model._meta.get_field("secret"))
        return self.defer(None).annotate(**field.elsewhere())
