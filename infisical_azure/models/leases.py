"""Rows that one process at a time works on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone


class LeasedQuerySet(models.QuerySet[Any]):
    """Rows to claim; claims are decided by single UPDATEs."""

    def free(self, now: datetime) -> Self:
        """Those that nobody works on at the moment."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lte=now))

    def claim(self, row: Leased, lease: timedelta, *, is_whole: bool = False) -> Any:
        """
        Take the right to work on a row and return it as it is read under the claim.

        Return None where another process has the claim, or has had it since `row` was
        read. Of `row` only the key and the fence count: the rest may be older than the
        claim. Unless `is_whole` says that `row` was read with all that the work needs,
        which only holders of the claim write: then a row that was free when it was read
        is what would be read now, and is returned itself.
        """
        now, fence = timezone.now(), row.fence + 1
        # Of this table alone: with a join Django would make it two queries.
        rows: Any = self.model._default_manager.all()
        same = rows.free(now).filter(pk=row.pk, fence=row.fence)
        if not same.update(lease_until=now + lease, fence=fence):
            return None
        if is_whole and row.lease_until is None:
            row.lease_until, row.fence = now + lease, fence
            return row
        return self.filter(pk=row.pk, fence=fence).first()


class Leased(models.Model):
    """
    A row with a lease and a fencing number.

    Whoever saves a result must still hold the newest fence: then a holder that was
    slower than its lease, or overtaken, changes nothing.
    """

    lease_until = models.DateTimeField(null=True, editable=False)
    fence = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    def release(self) -> None:
        """Give the lease back without a result, if it is still ours."""
        self.holding().update(lease_until=None)

    def holding(self) -> models.QuerySet[Any]:
        """Return this row for an UPDATE that only the holder of the newest fence makes."""
        return type(self)._default_manager.filter(pk=self.pk, fence=self.fence)
