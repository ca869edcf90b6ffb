"""What the page remembers of opened photos: for an hour, on the server, under a name that only their visitor knows.

Gradio's own memory is bound to sessions. Each API call is one, at 0.1 MB, so only few are kept, and a photo in one
would be forgotten when many programs call.
"""

import secrets
import threading
import time
from collections import OrderedDict

from page.canvas import Photo
from page.photos import Expired

_PAGES = 1000  # open ones that are told apart, far more than wait in the queue


class Memory:
    """Photos by name, and which of them each open page shows; threads may share it.

    Args:
        seconds: for which a photo is remembered.
        most: photos that are remembered at a time, the latest.
    """

    def __init__(self, seconds: float, most: int = 2000) -> None:
        self.seconds = seconds
        self.most = most
        self._photos: OrderedDict[str, tuple[float, Photo, str]] = OrderedDict()
        self._latest: OrderedDict[str, tuple[str | None, float]] = OrderedDict()  # by session; when it was asked for
        self._lock = threading.Lock()

    def keep(self, photo: Photo, opened: str | None = None) -> str:
        """Remember a photo; returns the name to ask for it.

        Args:
            photo: to be remembered.
            opened: the name that it got when it was opened; None if that is now.
        """
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._photos[name] = time.monotonic(), photo, opened or name
            self._forget()
        return name

    def get(self, name: str | None) -> Photo | None:
        """A photo by its name; None if no name is given.

        Raises:
            Expired: nothing, or nothing any more, is known by that name.
        """
        if not name:
            return None
        with self._lock:
            self._forget()
            if name not in self._photos:
                raise Expired()
            return self._photos[name][1]

    def note(self, name: str | None, session: str | None, asked: float | None = None) -> None:
        """Note the photo that a page opens: what is still done for it belongs to the one before.

        Args:
            name: of the photo.
            session: of the page.
            asked: when the person asked for it, by the page's own clock; None = not later than what was asked before.
        """
        if session is None:
            return
        with self._lock:
            _, before = self._latest.get(session, (None, 0.0))
            self._latest[session] = name, max(before, asked or 0.0)
            self._latest.move_to_end(session)
            while len(self._latest) > _PAGES:
                self._latest.popitem(last=False)

    def latest(self, session: str | None) -> str | None:
        """The name of the photo that a page opened last; None if nothing is known of that page."""
        return self._latest.get(session, (None, 0.0))[0]

    def outrun(self, asked: float | None, session: str | None) -> bool:
        """Whether a page opened what was asked for later than `asked`, by its own clock."""
        return asked is not None and asked < self._latest.get(session, (None, 0.0))[1]

    def replaced(self, name: str | None, session: str | None) -> bool:
        """Whether a page opened another photo since the one that `name` is of."""
        latest = self.latest(session)
        with self._lock:
            opened = self._photos[name][2] if name in self._photos else None
        return None not in (opened, latest) and opened != latest

    def _forget(self) -> None:
        old = time.monotonic() - self.seconds
        while self._photos and (len(self._photos) > self.most or next(iter(self._photos.values()))[0] < old):
            self._photos.popitem(last=False)
