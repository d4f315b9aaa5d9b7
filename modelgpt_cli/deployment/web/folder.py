"""``modelgpt export --for web``: a static folder that runs a model in a browser, without a network.

`page/` is ours; `vendor/` holds onnxruntime-web and a tokenizer library, which `scripts/vendor_web.sh` gets from npm
when a release is made. Follows `deployment.targets.Target`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import bundled_model
from modelgpt_cli.deployment.schema import common_files, schema
from modelgpt_cli.runtime.session import EXTENSIONS, TOKENIZER, Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

_HERE = Path(__file__).parent
PAGE, VENDOR = _HERE / "page", _HERE / "vendor"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "onnxruntime-web.LICENSE")
TOKENIZERS = ("tokenizers.min.mjs", "tokenizers.LICENSE")
VERSIONS = "versions.json"
VERIFIES = False


def check() -> None:
    """Make sure that the page's runtime is here."""
    missing = [name for name in (*RUNTIME, *TOKENIZERS, VERSIONS) if not (VENDOR / name).is_file()]
    if missing:
        raise ModelGPTError(
            "The page's runtime, onnxruntime-web, isn't in this installation.",
            f"{VENDOR} lacks {missing[0]}. Wheels bring it; a checkout gets it from npm.",
            "Run scripts/vendor_web.sh once.",
        )


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model."""
    for name, content in contents(model).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return "To open it: python -m http.server -d {folder} 8000, then http://localhost:8000"


def contents(model: Model) -> dict[str, Path | str | bytes]:
    """Return the files of a model's page by name, as paths, texts or bytes.

    Raises
    ------
    ModelGPTError
        No page can run the model.
    """
    if not model.domain.has("page"):
        raise ModelGPTError(
            f"There is no page for models of {model.domain.title} yet.",
            "",
            "See docs/deploy.md.",
        )
    if model.metadata.get("tokenizer") == "graph":
        raise ModelGPTError(
            "A browser can't run this model: its tokenizer is in the graph.",
            f"onnxruntime-web has no operators of {EXTENSIONS}.",
            "Export or build it without --tokenizer-in-graph.",
        )
    made = schema(model) | {"runtime": json.loads((VENDOR / VERSIONS).read_text(encoding="utf-8"))}
    files: dict[str, Path | str | bytes] = {file.name: file for file in PAGE.iterdir()}
    tokens = TOKENIZERS if TOKENIZER in model.extras else ()
    files |= {f"runtime/{name}": VENDOR / name for name in (*RUNTIME, *tokens)}
    files["model.onnx"] = bundled_model(model.path) or model.path
    return files | common_files(model, made)
