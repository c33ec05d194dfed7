"""The child process that downloads a Hugging Face repository. Its last line of output is the error, if there is one.

python -m fathom.models.hub_download ORG/NAME REVISION CACHE [--code]

The hub's address comes from HF_ENDPOINT and the token from HF_TOKEN or `hf auth login`, as huggingface_hub reads them.
"""

import glob
import sys
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: httpx's or httpx2's, by the version
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from fathom.core.errors import StartupError
from fathom.models import hub


def download(repository: str, revision: str, cache: Path, *, code: bool) -> None:
    """Look at the listing, say how much is missing, then fetch. Raises StartupError in one line."""
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        names = hub.select(sizes, repository, code=code)
        snapshot = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / str(info.sha)
        print("missing bytes:", sum(sizes[name] for name in names if not (snapshot / name).exists()), flush=True)
        snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            allow_patterns=[glob.escape(name) for name in names],
            max_workers=4,
        )
    except (HTTPError, OSError, HFValidationError, XetDownloadError) as error:
        raise StartupError(explain(error, repository, revision)) from None


def explain(error: Exception, repository: str, revision: str) -> str:
    """One line that names the problem and the fix."""
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HTTPError):
        error = error.__cause__  # the library says what it lacks on disk; why it could not be fetched is what helps
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    match error:
        case GatedRepoError():
            return (
                f"{repository} is gated: accept its licence on its Hugging Face page, then set HF_TOKEN to a token of "
                "that account."
            )
        case RevisionNotFoundError():
            return f"{repository} has no revision {revision!r}: name a branch, tag or commit of it."
        case RepositoryNotFoundError():
            return (
                f"the hub shows no model {repository!r}: check the spelling, or set HF_TOKEN if it is private "
                f"(status {status})."
            )
        case HFValidationError():
            return f"{repository!r} is no Hugging Face id: write org/name or org/name@revision."
        case OfflineModeIsEnabled():
            return f"{repository} is not on disk and HF_HUB_OFFLINE forbids the download: unset it, or serve a folder."
        case _ if status in (401, 403):
            return f"the hub refused the token for {repository} (status {status}): set HF_TOKEN to a valid one."
        case _ if status is not None:
            return f"the hub answered {repository} with status {status}: try again later."
        case HTTPError():
            return (
                f"cannot reach the hub at {constants.ENDPOINT} for {repository}: check the network, HF_ENDPOINT and "
                "HTTPS_PROXY, or serve a folder that you have."
            )
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"the download of {repository} broke off ({reason}): run it again, complete files are kept."


def main(repository: str, revision: str, cache: str, *options: str) -> None:
    try:
        download(repository, revision, Path(cache), code="--code" in options)
    except StartupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
