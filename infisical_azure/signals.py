"""The news that other code can listen to; receivers run after the commit."""

from __future__ import annotations

from django.dispatch import Signal

#: A connection was made. Arguments: connection (AppConnection), user (who connected it).
connection_added = Signal()

#: A connection needs a person now. Arguments: connection (AppConnection). Once per break.
connection_broken = Signal()

#: A broken connection works again. Arguments: connection (AppConnection).
connection_recovered = Signal()

#: A connection was reconnected. Arguments: connection (AppConnection), user.
connection_reconnected = Signal()

#: A connection is gone, whoever deleted it. Arguments: connection (AppConnection, unsaved
#: but with its id, name and organization_id).
connection_removed = Signal()
