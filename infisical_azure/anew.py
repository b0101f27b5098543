"""Failures raised anew, without the frames that hold what was sent and answered."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

from .exceptions import InfisicalAzureError, UnforeseenError

Result = TypeVar("Result")
_INNERMOST = 3
#: Celery's, which comes from outside and is the task's to handle.
_OF_THE_CALLER = {"SoftTimeLimitExceeded"}


def raised_anew(act: Callable[[], Result]) -> Result:
    """
    Return what `act` returns, and raise its failure anew.

    The traceback of the first one leads through frames that hold requests and replies
    with all their secrets, and the texts of some errors quote them; error reports would
    show them. Raises UnforeseenError for what neither we nor Django raise on purpose.
    """
    failure: Exception
    try:
        return act()
    except (InfisicalAzureError, ImproperlyConfigured) as error:
        failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
    except Exception as error:
        if type(error).__name__ in _OF_THE_CALLER:
            raise
        frames = traceback.extract_tb(error.__traceback__)[-_INNERMOST:]
        places = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames]
        failure = UnforeseenError(f"{type(error).__name__} at {', '.join(places)}")
    raise failure
