"""Files from the Hugging Face hub, or from its cache on this machine."""

import socket
from contextlib import closing
from typing import BinaryIO
from urllib.parse import urlsplit

import huggingface_hub

from medha_core.errors import EmbeddingError

_REACHABLE_SECONDS = 3.0


def opened(repository: str, name: str) -> BinaryIO:
    """Open one file of `repository`, fetched if the hub's own cache does not have it."""
    try:
        found = huggingface_hub.try_to_load_from_cache(repository, name)
        if not isinstance(found, str):
            _check_reachable()
            found = huggingface_hub.hf_hub_download(repository, name)
        return open(found, "rb")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EmbeddingError(f"{repository} could not be fetched ({reason})") from error


def _check_reachable() -> None:
    # The client retries for half a minute before it says that there is no network.
    address = urlsplit(huggingface_hub.constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    with closing(socket.create_connection((address.hostname, port), _REACHABLE_SECONDS)):
        pass
