"""What this site itself does with rotated client secrets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infisical_azure.delivery import Delivery

logger = logging.getLogger(__name__)


def keep(delivery: Delivery) -> None:
    """
    Say that it came. A site in earnest writes `delivery.value.reveal()` to where its jobs
    find it; it may be called again for the same `delivery.id`.
    """
    logger.info("A client secret for %s came, valid until %s.", delivery.name, delivery.expires_at)
