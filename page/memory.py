"""What the page remembers of opened photos: for an hour, on the server, under a name that only their visitor knows.

Gradio's own memory is bound to sessions. Each API call is one, at 0.1 MB, so only few are kept, and a photo in one
would be forgotten when many programs call.
"""

import secrets
import threading
import time
from collections import OrderedDict

from page.canvas import EXPIRED, Photo
from page.photos import Unusable


class Memory:
    """Photos by name; threads may share it.

    Args:
        seconds: for which a photo is remembered.
        most: photos that are remembered at a time, the latest.
    """

    def __init__(self, seconds: float, most: int = 2000) -> None:
        self.seconds = seconds
        self.most = most
        self._photos: OrderedDict[str, tuple[float, Photo]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, photo: Photo) -> str:
        """Remember a photo; returns the name to ask for it."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._photos[name] = time.monotonic(), photo
            self._forget()
        return name

    def get(self, name: str | None) -> Photo | None:
        """A photo by its name; None if no name is given.

        Raises:
            Unusable: nothing, or nothing any more, is known by that name.
        """
        if not name:
            return None
        with self._lock:
            self._forget()
            if name not in self._photos:
                raise Unusable(EXPIRED)
            return self._photos[name][1]

    def _forget(self) -> None:
        old = time.monotonic() - self.seconds
        while self._photos and (len(self._photos) > self.most or next(iter(self._photos.values()))[0] < old):
            self._photos.popitem(last=False)
