"""Where a model lies: in a folder, or on the Hugging Face hub and, once fetched, in this machine's cache.

Asked before the engine is imported, so that a wrong name, or a hub that is out of reach, is told in seconds.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.cli import note
from MetaCaptioner.utils.json_text import from_json

_ANSWER_SECONDS = 4.0
"""For the hub to answer in, a connection and a reply each."""
_MOST_SECONDS = 8.0
"""In all: a name server that is mute, or many addresses of which none answers, are outside the other limit."""
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_ELSEWHERE = "VLLM_USE_MODELSCOPE"
_DESCRIBED_ELSEWHERE = ("hf_config_path", "config_format")
_DESCRIPTIONS = ("config.json", "params.json")
"""Of a model: as Hugging Face writes it, and Mistral."""
_TRUE = ("1", "on", "true", "yes")


class EngineLoadError(UserError):
    """The model could not be loaded."""


def check_model(model: str, arguments: Mapping[str, object] = MappingProxyType({})) -> None:
    """Refuse what is surely no model. Where the hub is out of reach but the cache has the model, the cache is taken.

    `arguments` are those of the engine: which revision it is, or that what describes it lies elsewhere.

    Raises:
        EngineLoadError: there is no such folder, it holds no model, the hub has no such model, or it cannot be
            reached and nothing of the model is here.
    """
    if any(arguments.get(name) for name in _DESCRIBED_ELSEWHERE):
        return
    try:
        path = Path(model).expanduser()
    except RuntimeError as error:
        raise EngineLoadError(f"model {model}: {error}") from None
    if path.is_absolute() or model.startswith((".", "~")) or path.exists():
        _check_folder(model, path)
    elif not _is_set(_ELSEWHERE) and _is_hub_name(model):
        revision = arguments.get("revision")
        _check_hub(model, None if revision is None else str(revision))


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().casefold() in _TRUE


def _check_folder(model: str, path: Path) -> None:
    if not path.is_dir():
        raise EngineLoadError(f"model {model}: there is no such folder")
    name = next((name for name in _DESCRIPTIONS if (path / name).exists()), None)
    if name is None:
        raise EngineLoadError(f"model {model}: the folder has no config.json")
    try:
        described = from_json((path / name).read_bytes())
    except (OSError, ValueError) as error:
        raise EngineLoadError(f"model {model} cannot be loaded: {name} cannot be read: {error}") from None
    if not isinstance(described, dict):
        raise EngineLoadError(f"model {model} cannot be loaded: {name} is no JSON object")


def _is_hub_name(model: str) -> bool:
    """Whether it is `name` or `owner/name` as the hub has them; other things that an engine may know are left to it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def _check_hub(model: str, revision: str | None) -> None:
    import huggingface_hub

    cached = (huggingface_hub.try_to_load_from_cache(model, name, revision=revision) for name in _DESCRIPTIONS)
    is_cached = any(isinstance(path, str) for path in cached)
    reason = "HF_HUB_OFFLINE is set"
    if not any(_is_set(name) for name in _OFFLINE):
        unreachable = _ask_hub(model, revision, is_cached)
        if unreachable is None:
            return
        reason = unreachable
        if is_cached:
            note(f"model {model}: the hub cannot be asked ({reason}); taken as it was fetched before")
            os.environ["HF_HUB_OFFLINE"] = "1"  # for the engine's processes
            huggingface_hub.constants.HF_HUB_OFFLINE = True  # for this one, which has read it already
    if not is_cached:
        raise EngineLoadError(
            f"model {model}: is not in this machine's cache, and the hub cannot be asked: {reason}. "
            "MODEL=FOLDER (--model) takes one that lies in a folder"
        )


def _ask_hub(model: str, revision: str | None, is_cached: bool) -> str | None:
    """Why the hub cannot be asked; None if it has the model, or is only busy: the engine asks it again and again.

    Raises:
        EngineLoadError: it has no such model, or gives it to others only, and the cache has none.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(model, "config.json", revision=revision), timeout=_ANSWER_SECONDS)
            outcome.append(None)
        except EntryNotFoundError:
            outcome.append(None)  # models of some engines have other files
        except Exception as error:  # noqa: BLE001 the hub's client does not hide which library it speaks with
            outcome.append(error)

    asking = threading.Thread(target=ask, name="hub", daemon=True)
    asking.start()
    asking.join(_MOST_SECONDS)
    error = outcome[0] if outcome else TimeoutError(f"no answer within {_MOST_SECONDS:.0f} s")
    if isinstance(error, GatedRepoError | RepositoryNotFoundError) and is_cached:
        return "it does not give it to you"
    if isinstance(error, GatedRepoError):
        raise EngineLoadError(f"model {model}: access is for those who asked for it on its page of the hub: HF_TOKEN=…")
    if isinstance(error, RepositoryNotFoundError):
        raise EngineLoadError(
            f"model {model}: the hub has no such model, or not for you (HF_TOKEN=… where it is private), and there is "
            "no such folder"
        )
    if error is None or isinstance(error, HfHubHTTPError):
        return None
    return str(error) or type(error).__name__
