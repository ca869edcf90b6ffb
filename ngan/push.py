"""Pushes runs to the Hub: the finished model as one commit, and the newest checkpoint where that is asked for."""

import logging
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError, RemoteEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from ngan.config import TrainConfig
from ngan.hub import download
from ngan.merging import CARD, license_in, merge_cards, relicense
from ngan.onnx_model import ONNX_NAME
from ngan.start import CRITICS

_FAILURES = (OSError, HTTPError, RuntimeError)  # refused by the Hub, not reached, broken off in a large file
_NO_RIGHTS = (401, 403)  # what the Hub answers to a token that may not write
_OVERTAKEN = (409, 412)  # what the Hub answers where another commit came between
_TRIES = 5  # to make ours on top of it
# What a run may have pushed and another one lacks: of other weights, it would be taken for this model's.
_OF_A_RUN = {"samples.png", "results.json", "metrics.jsonl"}
_OF_A_RUN |= {f"{CRITICS}/{name}" for name in (constants.CONFIG_NAME, constants.SAFETENSORS_SINGLE_FILE, CARD)}
_LOG = logging.getLogger("ngan")
LAST_CHECKPOINT = "last-checkpoint"  # folder of a repository that keeps what a run goes on from


def check_push(config: TrainConfig) -> None:
    """Refuse to push without a token, and what cannot be a Hub id, before any work is done.

    Raises:
        ValueError: there is no token on this machine, or the id is malformed.
    """
    if not config.hub_model_id:
        return
    try:
        validate_repo_id(config.hub_model_id)  # without a push too: the card names it
    except ValueError as error:
        raise ValueError(f"hub_model_id={config.hub_model_id!r}: not a Hub id such as org/name ({error})") from error
    if config.push_to_hub and not get_token():
        raise ValueError("push_to_hub: no Hub token here; run `hf auth login` or set HF_TOKEN")


def open_repository(config: TrainConfig) -> str:
    """Make the repository and its branch, if need be, before hours of training; return the repository's full id.

    Raises:
        ValueError: the Hub cannot be reached or refuses, the token may not write to the repository, or that is public
            and a private one is asked for.
    """
    api = HfApi()
    try:
        made = api.create_repo(config.hub_model_id, private=config.hub_private or None, exist_ok=True)
        _check_rights(made.repo_id)  # one that is there passes for made, whoever's it is
        public = config.hub_private and not api.model_info(made.repo_id).private  # one that is there stays as it is
        if config.hub_revision:
            api.create_branch(made.repo_id, branch=config.hub_revision, exist_ok=True)
    except _FAILURES as error:
        raise ValueError(f"hub_model_id={config.hub_model_id!r}: {error}") from error
    if public:
        advice = "make it private in its settings, name another one, or leave out --hub_private"
        raise ValueError(f"hub_private=True: {made.repo_id} is there already, and public; {advice}")
    return made.repo_id


def push_model(folder: Path, metrics: Path, config: TrainConfig) -> str:
    """Push an exported folder and the run's metrics, and nothing else of the run, as one commit.

    A card that is there already keeps what people wrote, also while the files are on their way: see `merge_cards`.
    Critics, figures and pictures of an earlier run go where this one has none: they are not of these weights.

    Args:
        folder: what `ngan.export.export_run` wrote.
        metrics: the run's metrics.jsonl.
        config: of the run, which says where to.

    Returns:
        The commit's address.

    Raises:
        ValueError: the Hub cannot be reached or refuses; the message says how to push later.
    """
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if metrics.is_file():
        files[metrics.name] = metrics
    try:
        repo_id = open_repository(config)
        for tries_left in reversed(range(_TRIES)):
            try:
                return _commit(repo_id, files, config.hub_revision or None)
            except HfHubHTTPError as error:
                if error.response.status_code not in _OVERTAKEN or not tries_left:
                    raise
    except (*_FAILURES, ValueError) as error:
        raise ValueError(
            f"push_to_hub: {error}; the model is complete in {folder}; to push it, give the same command with "
            "--resume_from_checkpoint latest"
        ) from error


def push_checkpoint(checkpoint: Path, config: TrainConfig) -> None:
    """Push a checkpoint's files, the optimizers' states included, over the one that was pushed before.

    Raises:
        ValueError: the Hub cannot be reached or refuses.
    """
    try:
        HfApi().upload_folder(
            repo_id=open_repository(config),
            folder_path=checkpoint,
            path_in_repo=LAST_CHECKPOINT,
            revision=config.hub_revision or None,
            commit_message=f"Training: {checkpoint.name}",
        )
    except _FAILURES as error:
        raise ValueError(f"hub_model_id={config.hub_model_id!r}: {error}") from error


def _check_rights(repo_id: str) -> None:
    """Have the Hub refuse a repository that the token here may not write to."""
    try:
        HfApi().auth_check(repo_id, write=True)
    except HfHubHTTPError as error:
        if error.response.status_code in _NO_RIGHTS:  # else a mirror, say, that knows no such question
            raise


def _commit(repo_id: str, files: dict[str, Path], revision: str | None) -> str:
    """Commit files on top of the card that was merged into theirs, and nothing if a commit came between."""
    head = HfApi().model_info(repo_id, revision=revision, expand=["sha"]).sha
    card = merge_cards(_card_of(repo_id, head), files[CARD].read_text(encoding="utf-8"))
    texts = {CARD: card}
    if (critics := f"{CRITICS}/{CARD}") in files:  # of the terms that stand above it
        texts[critics] = relicense(files[critics].read_text(encoding="utf-8"), license_in(card))
    contents = {**files, **{name: text.encode() for name, text in texts.items()}}
    there = HfApi().list_repo_files(repo_id, revision=head)
    gone = _OF_A_RUN.intersection(there) - contents.keys()
    operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
    operations += [CommitOperationDelete(name) for name in sorted(gone)]
    options = {"commit_message": "Train NGAN", "revision": revision, "parent_commit": head}
    address = HfApi().create_commit(repo_id, operations, **options).commit_url
    if ONNX_NAME in there and ONNX_NAME not in contents:  # people put it there: only they know what it is of
        _LOG.warning("%s keeps its %s, of the weights that it was exported from; export it anew", repo_id, ONNX_NAME)
    return address


def _card_of(repo_id: str, commit: str) -> str:
    """Return the card of a commit, "" if it has none; a Hub that does not answer is an error."""
    try:
        return download(repo_id, CARD, revision=commit).read_text(encoding="utf-8")
    except RemoteEntryNotFoundError:
        return ""
