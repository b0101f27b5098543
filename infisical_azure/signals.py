"""The news that other code can listen to; receivers run outside of our transactions."""

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

#: Client secrets of a directory end soon. Arguments: connection (AppConnection), secrets (list
#: of WatchedSecret), days (the threshold of EXPIRY_WARNINGS that they have come to). Once per
#: secret and threshold; again with the next watch when the e-mail could not be sent.
secret_expiring = Signal()

#: All of a connection that is to be told of now. Arguments: connection, secrets. Ours: it keeps
#: what an e-mail raises from what comes after it.
warnings_due = Signal()

#: A connection is gone, whoever deleted it. Arguments: connection (AppConnection, unsaved
#: but with its id, name and organization_id).
connection_removed = Signal()

#: A client secret was replaced and the new one delivered everywhere. Arguments: rotation
#: (Rotation), secret (RotatedSecret, without its value).
secret_rotated = Signal()

#: A rotation fails and won't get on without a person. Arguments: rotation, which says why; its
#: row may say so only after the receivers. Once per break, or twice if this process dies then.
rotation_failed = Signal()

#: A rotation that had failed works again. Arguments: rotation.
rotation_recovered = Signal()
