"""The commands and their one-line help, known without importing any of them."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "describe": "Look at the data and write the requirement: one sentence, and the schema.",
    "parse": "Show what is understood of a request in words: task, classes, limits.",
    "find": "Look for data: a search in words over cards of data sets.",
    "generate": "Have an LLM write labelled rows, where there is no data or too little.",
    "build": "Turn a requirement, and data if there is any, into a model.",
    "zoo": "List the cards that a build chooses from, with what they cost; measure them.",
    "tune": "Finetune all parameters of a model for an epoch; keep the better one.",
    "export": "Turn a model.safetensors into a model.onnx.",
    "predict": "Score a table with a model.onnx.",
    "evaluate": "Measure a model.onnx on a labelled table.",
    "inspect": "Show a model's card: inputs, labels, metrics, provenance.",
    "doctor": "Check this installation.",
    "meta-train": "Train the generator itself.",
}
