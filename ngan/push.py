"""Pushes runs to the Hub: the finished model as one commit, and the newest checkpoint where that is asked for."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token, hf_hub_download
from huggingface_hub.errors import HTTPError, RemoteEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from ngan.card import CARD, merge_cards
from ngan.config import TrainConfig

_FAILURES = (OSError, HTTPError, RuntimeError)  # refused by the Hub, not reached, broken off in a large file
LAST_CHECKPOINT = "last-checkpoint"  # folder of a repository that keeps what a run goes on from


def check_push(config: TrainConfig) -> None:
    """Refuse to push without a token, or to what cannot be a Hub id, before any work is done.

    Raises:
        ValueError: there is no token on this machine, or the id is malformed.
    """
    if not config.push_to_hub:
        return
    try:
        validate_repo_id(config.hub_model_id)
    except ValueError as error:
        raise ValueError(f"hub_model_id={config.hub_model_id!r}: not a Hub id such as org/name ({error})") from error
    if not get_token():
        raise ValueError("push_to_hub: no Hub token here; run `hf auth login` or set HF_TOKEN")


def open_repository(config: TrainConfig) -> str:
    """Make the repository and its branch, if need be, before hours of training; return the repository's full id.

    Raises:
        ValueError: the Hub cannot be reached or refuses.
    """
    api = HfApi()
    try:
        made = api.create_repo(config.hub_model_id, private=config.hub_private or None, exist_ok=True)
        if config.hub_revision:
            api.create_branch(made.repo_id, branch=config.hub_revision, exist_ok=True)
    except _FAILURES as error:
        raise ValueError(f"hub_model_id={config.hub_model_id!r}: {error}") from error
    return made.repo_id


def push_model(folder: Path, metrics: Path, config: TrainConfig) -> str:
    """Push an exported folder and the run's metrics, and nothing else of the run, as one commit.

    A card that is there already keeps what people wrote: only the project's own sections and figures are renewed.

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
    revision = config.hub_revision or None
    try:
        repo_id = open_repository(config)
        card = merge_cards(_card_of(repo_id, revision), files.pop(CARD).read_text())
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        operations.append(CommitOperationAdd(CARD, card.encode()))
        commit = HfApi().create_commit(repo_id, operations, commit_message="Train NGAN", revision=revision)
    except (*_FAILURES, ValueError) as error:
        raise ValueError(
            f"push_to_hub: {error}; the model is complete in {folder}; to push it, give the same command with "
            "--resume_from_checkpoint latest"
        ) from error
    return commit.commit_url


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


def _card_of(repo_id: str, revision: str | None) -> str:
    """Return the repository's card as it is now, "" if it has none; a Hub that does not answer is an error."""
    try:
        return Path(hf_hub_download(repo_id, CARD, revision=revision, force_download=True)).read_text()
    except RemoteEntryNotFoundError:
        return ""
