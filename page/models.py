"""Which models the page works with: the one asked for, or the embedded ones and a notice that says why."""

import logging
import textwrap
from typing import NamedTuple

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ngan.hub import CRISP, EMBEDDED, default_model
from ngan.inference import Inpainter

CRISP_LOOK, CAREFUL = "Crisp", "Careful"  # looks of what is filled, as the page names them
_MAX_REASON = 300  # characters of a reason on the page; weights that do not fit are named one by one

_logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """A model at work.

    Attributes:
        inpainter: what fills photos.
        source: folder or Hub id that its weights came from.
        notice: what the page's visitors have to know of it, plain text; "" if it is the model that was asked for.
        crisp: what fills them crisper; None if `inpainter` is not the embedded model.
    """

    inpainter: Inpainter
    source: str
    notice: str
    crisp: Inpainter | None = None

    @property
    def looks(self) -> dict[str, Inpainter]:
        """What fills photos, by the name of how it makes them look; the first is the usual one."""
        return {CAREFUL: self.inpainter} if self.crisp is None else {CRISP_LOOK: self.crisp, CAREFUL: self.inpainter}


def load_inpainter() -> Loaded:
    """Load the model that NGAN_MODEL names, or the embedded one where that cannot be had.

    A Hub that does not answer is met from the cache by `from_pretrained` itself. A page that did not start would show
    its visitors nothing at all, so whatever else keeps the named model away is said in the notice and in the log.

    Raises:
        FileNotFoundError: there are no embedded weights to fall back on.
    """
    asked = default_model()
    try:
        return _loaded(asked, "")
    except (OSError, ValueError) as error:  # all that from_pretrained raises; errors of the Hub are OSErrors
        if asked == str(EMBEDDED):
            raise
        reason = _reason(error)
    _logger.warning("NGAN_MODEL=%s could not be loaded, the embedded model is used instead: %s", asked, reason)
    notice = (
        f"The model {asked}, which this page was set up for, could not be loaded: "
        f"{textwrap.shorten(reason, _MAX_REASON, placeholder=' ...')}. The embedded model is used instead."
    )
    return _loaded(str(EMBEDDED), notice)


def _loaded(source: str, notice: str) -> Loaded:
    return Loaded(Inpainter(source), source, notice, Inpainter(CRISP) if source == str(EMBEDDED) else None)


def _reason(error: Exception) -> str:
    """Why a model could not be had, in one line without a full stop."""
    answer = error if isinstance(error, HfHubHTTPError) else error.__cause__
    if isinstance(error, GatedRepoError):
        return "its owner has to grant access to it, and no HF_TOKEN with that access was given"
    if isinstance(error, RepositoryNotFoundError):  # the Hub answers alike, so that private names stay private
        return "there is no such model on the Hub, or it is private and no HF_TOKEN that may read it was given"
    if isinstance(error, RevisionNotFoundError):
        return "the Hub has the model, but no such revision of it"
    if isinstance(error, (HfHubHTTPError, LocalEntryNotFoundError)):
        if isinstance(answer, HfHubHTTPError):
            return f"the Hub answered with status {answer.response.status_code}, and no copy is in the cache"
        return "the Hub could not be reached, and no copy is in the cache"
    return " ".join(str(error).split()).rstrip(".")
