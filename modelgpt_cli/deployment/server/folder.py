"""``modelgpt export --for server``: what Docker, KServe and Triton need to serve a model.

The container runs `modelgpt serve`, which speaks KServe's protocol (v2); Triton runs the graph by itself. Follows
`deployment.targets.Target`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from modelgpt_cli.core.version import __version__
from modelgpt_cli.deployment.schema import schema, write_common
from modelgpt_cli.deployment.server.triton import write_config
from modelgpt_cli.deployment.templates import render
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

VERIFIES = False
PORT = 8080
DISTRIBUTION = "modelgpt-cli"
RUNS = (
    "charset-normalizer>=3.3", "click>=8.1", "numpy>=1.26", "onnxruntime>=1.18", "pandas>=2.2", "pyarrow>=15",
    "pyyaml>=6", "tokenizers>=0.20",
)  # fmt: skip
"""What running a model needs, as requirements-runtime.txt has it; setup.cfg has the rest. A test holds both."""
SERVES = ("fastapi>=0.110", "prometheus-client>=0.20", "python-multipart>=0.0.9", "uvicorn[standard]>=0.54")
IMAGES, TOKENIZES = "pillow>=10.1", "onnxruntime-extensions>=0.13"
_TEMPLATES = Path(__file__).parent / "templates"
_FILES = {
    "Dockerfile.j2": "Dockerfile",
    "inference-service.yaml.j2": "inference-service.yaml",
    "README.md.j2": "README.md",
    "requirements.txt.j2": "requirements.txt",
}


def check() -> None:
    """Nothing beyond the installation is needed."""


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model."""
    name = service_name(model)
    place = folder / "models" / name / "1"
    place.mkdir(parents=True)
    shutil.copyfile(model.path, place / "model.onnx")
    in_graph = model.metadata.get("tokenizer") == "graph"
    if not in_graph:
        write_config(model, name, place.parent / "config.pbtxt")
    values = {
        "name": name,
        "model": f"models/{name}/1/model.onnx",
        "port": PORT,
        "version": __version__,
        "distribution": DISTRIBUTION,
        "requirements": requirements(model),
        "triton": not in_graph,
        "files": model.feeds.FILES,
        "domain": model.domain.title,
    }
    for template, file in _FILES.items():
        render(_TEMPLATES / template, folder / file, **values)
    write_common(model, folder, schema(model))
    return f"To serve it: docker build -t {name} {{folder}} && docker run --rm -p {PORT}:{PORT} {name}"


def service_name(model: Model) -> str:
    """Return a name that Docker, Kubernetes and Triton all take: of the file, or the data it was built from."""
    known = ((model.metadata.get("provenance") or {}).get("data") or {}).get("name")
    stem = model.path.stem if known is None or model.path.stem != "model" else str(known)
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-") or "model"


def requirements(model: Model) -> list[str]:
    """Return what the container installs."""
    found = [*RUNS, *SERVES]
    if any(one.type == "uint8" for one in model.signature[0]):
        found.append(IMAGES)
    if model.metadata.get("tokenizer") == "graph":
        found.append(TOKENIZES)
    return sorted(found)
