"""The commands and their one-line help, known without importing any of them."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "describe": "Describe data: write a requirement, one sentence and the schema.",
    "parse": "Show how a request in words is understood: task, classes, limits.",
    "find": "Search dataset cards for data.",
    "generate": "Have an LLM write labelled rows, where there is no data or too little.",
    "build": "Turn data, a requirement or words into a model.",
    "zoo": "List the cards that a build chooses from, and their costs; measure them.",
    "tune": "Finetune all parameters of a model for an epoch; keep the better one.",
    "export": "Turn a model.safetensors into a model.onnx.",
    "predict": "Predict for new data with a model.onnx.",
    "serve": "Answer requests over HTTP with one model.onnx or several.",
    "evaluate": "Measure a model.onnx on labelled data.",
    "report": "Write an HTML report of a model: data, measures, curves, provenance.",
    "bundle": "Pack a model with card, golden rows, licences, SBOM and signature.",
    "verify": "Check a bundle offline: hashes, signature, golden rows, licences.",
    "push": "Send a model or bundle to a folder, a hub or an object store.",
    "pull": "Fetch a model or bundle by its address, pinned by hash.",
    "inspect": "Show a model's card: inputs, labels, metrics, provenance.",
    "mcp": "Offer these commands as tools to an agent (MCP).",
    "doctor": "Check this installation.",
    "meta-train": "Train the generator itself.",
}
