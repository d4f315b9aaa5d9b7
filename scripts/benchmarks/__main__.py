"""Run a benchmark: ``python -m scripts.benchmarks COMMAND -h``, from the root of the repository.

A command's module is imported only when the command runs, so that the benchmarks of memory start from a small process.
"""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "tables": ("tables.bench", "quality, seconds and bytes on tables, ours and other methods"),
    "texts": ("texts.bench", "quality and seconds on texts: GLUE, and unseen tasks with few examples"),
    "images": ("images.bench", "quality and seconds on images: held-out domains, few examples, initialisation"),
    "summary tables": ("summary", "results of tables as Markdown: means, ranks, wins, costs"),
    "summary texts": ("cell_tables", "results of texts as Markdown"),
    "summary images": ("cell_tables", "results of images as Markdown"),
    "figures": ("figures", "critical differences of ranks, and quality against costs, as SVG"),
    "pipeline tables": ("pipeline.tables", "wall-clock and memory from a CSV or Parquet file to a verified ONNX file"),
    "pipeline texts": ("pipeline.models", "the same for texts, and what int8 costs"),
    "pipeline images": ("pipeline.models", "the same for images, and what fp16 and int8 cost"),
    "ablation tables": ("tables.ablation", "what each part of the table generator is worth"),
    "ablation texts": ("texts.ablation", "what words and generated factors are worth on texts"),
    "ablation images": ("images.ablation", "what words and generated factors are worth on images"),
    "pairs": ("images.pairs", "images of two classes: does a few images ever make it worse than the names alone?"),
    "targets": ("tables.targets", "what transforms of the target and two-sided intervals are worth in regression"),
    "kernel": ("tables.kernel", "tables: what a kernel machine beside network and trees is worth"),
    "teacher": ("tables.teacher", "tables: what a teacher is worth, and how much of its lead a model keeps"),
    "tabarena": ("tables.tabarena", "tables by the protocol of TabArena, where its data are there offline"),
    "tuning": ("tables.tuning", "tables: what finetuning on the build's own rows gives on unseen ones"),
    "search": ("search", "what a search for settings gives on unseen rows, TPE beside chance"),
    "page": ("page", "how soon an exported page gives its first answer, in Chromium"),
    "factors": ("images.factors", "images: what training the network's factors is worth on sets that are held out"),
    "requirement": ("tables.requirement", "tables from words alone, and what the words are worth"),
    "sizes": ("images.sizes", "what sizes of images are worth, for weights/image/sizes.yaml"),
    "members": ("tables.members", "what members and storage gain and lose, for weights/tabular/members.yaml"),
    "spans": ("texts.spans", "spans in texts: entity F1 by the number of marked texts, and seconds"),
    "dense": ("dense.bench", "segmentation: mIoU by the number of labelled images, and seconds"),
    "dense words": ("dense.words", "segmentation from words alone: what is found of things that were pasted"),
    "dense prior": ("dense.prior", "segmentation: what names of classes are worth beside a few images"),
    "dense meta": ("dense.meta", "segmentation: what a prior learned from other tasks is worth"),
    "keypoints": ("keypoints.bench", "key points: NME by the number of labelled images, and seconds"),
    "detection": ("detection.bench", "detection: mAP by the number of labelled images, and seconds"),
    "updates": ("texts.updates", "Algorithm 1 of the paper against back-propagation"),
    "requests": ("requests", "how many requests in free words `modelgpt parse` understands"),
    "llm": ("llm", "what a real LLM writes and reads, and how much of it passes the checks"),
    "confidence": ("confidence", "calibration, and novelty against other data, on images and texts"),
    "find": ("find", "how well `modelgpt find` finds data sets"),
    "generate": ("generated_rows", "accuracy by the number of generated rows (a simulated LLM)"),
    "serving": ("serving", "requests a second of `modelgpt serve`, and how long each waits"),
    "batch": ("batch", "models a second of `modelgpt build --batch`"),
    "meta-train": ("meta_training", "speed of meta-training"),
    "readers": ("readers", "our readers of files beside DuckDB, openpyxl and charset-normalizer"),
    "same-cells": ("same_cells", "one table in many kinds of files: are a model's answers the same?"),
    "recipes": ("recipes", "recipes of the table generator's meta-training at equal CPU time"),
}
"""Command -> module and help."""


def main(arguments: list[str]) -> int:
    """Run the command that the arguments begin with."""
    for words in (2, 1):
        command = " ".join(arguments[:words])
        if command in COMMANDS:
            module = import_module(f".{COMMANDS[command][0]}", __package__)
            # A module of several commands gets the last word first.
            shared = [c for c, (name, _) in COMMANDS.items() if name == COMMANDS[command][0]]
            first = arguments[words - 1 : words] if len(shared) > 1 else []
            return module.main([*first, *arguments[words:]]) or 0
    width = max(map(len, COMMANDS)) + 2
    lines = "\n".join(f"  {command:{width}}{words}" for command, (_, words) in COMMANDS.items())
    print(f"usage: python -m scripts.benchmarks COMMAND ...\n\n{lines}")
    return 0 if arguments in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
