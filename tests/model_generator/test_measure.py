"""What a model costs to run, measured on its file: operations as torch counts them, memory of a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from artifact_models import random_model, random_table
from image_models import image, image_model
from text_models import tiny_text_model
from torch.utils.flop_counter import FlopCounterMode

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.model_generator.measure import measure_flops, measure_memory
from modelgpt_cli.runtime.peak_memory import load_rows, save_rows

TEXT = pd.DataFrame({"text": ["where is my parcel", "a"]})


@pytest.mark.parametrize("quantize", ["none", "fp16", "int8"])
def test_operations_of_images_are_those_that_torch_counts(quantize: str, tmp_path: Path) -> None:
    model = image_model()
    images = [image(64, 64, seed) for seed in range(8)]
    write_model(model, tmp_path / "m.onnx", quantize=quantize, rows=images)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.predict(images[:1])
    measured = measure_flops(tmp_path / "m.onnx", images)
    assert counter.get_total_flops() <= measured <= 1.2 * counter.get_total_flops()  # resizing is in the graph


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_operations_of_a_text_are_those_that_torch_counts(quantize: str, tmp_path: Path) -> None:
    model = tiny_text_model(labels=("a", "b", "c"))
    write_model(model, tmp_path / "m.onnx", quantize=quantize)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.predict(TEXT[:1])
    assert measure_flops(tmp_path / "m.onnx", TEXT) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_operations_of_a_row_grow_with_the_network(tmp_path: Path) -> None:
    columns, frame = random_table()
    counts = []
    for members in (1, 2):
        model = random_model(columns, frame, labels=["a", "b"], members=members)
        write_model(model, tmp_path / f"{members}.onnx")
        counts.append(measure_flops(tmp_path / f"{members}.onnx"))
    weights = sum(p.numel() for name, p in model.named_parameters() if "weight" in name)
    assert 2 * weights <= counts[1] <= 2.5 * weights + 1000
    assert counts[0] < counts[1]


@pytest.mark.slow
def test_memory_is_that_of_the_model_and_its_batch_alone(tmp_path: Path) -> None:
    held = np.ones(50_000_000)  # this process is large; the measured one must not be
    write_model(image_model(), tmp_path / "m.onnx")
    one = measure_memory(tmp_path / "m.onnx", 1, 1)
    assert 20e6 < one < held.nbytes
    large = [image(3000, 3000)]
    assert measure_memory(tmp_path / "m.onnx", 1, 1, large) > one + large[0].nbytes


def test_rows_reach_the_measured_process_as_they_are(tmp_path: Path) -> None:
    columns = {"x": np.array([1.5, np.nan], np.float32), "grün": np.array(["ä", ""], object), "": ["a", "b"]}
    save_rows(tmp_path / "rows.npz", columns)
    found = load_rows(tmp_path / "rows.npz")
    assert list(found) == list(columns)
    assert all(np.array_equal(found[k], np.asarray(v), equal_nan=k == "x") for k, v in columns.items())
    images = {"image": [image(3, 4), image(5, 2)]}
    save_rows(tmp_path / "rows.npz", images)
    assert [p.shape for p in load_rows(tmp_path / "rows.npz")["image"]] == [(3, 4, 3), (5, 2, 3)]


def test_the_measured_process_loads_nothing_of_the_training_side() -> None:
    code = "import sys, json, modelgpt_cli.runtime.peak_memory; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "sklearn", "onnx"} & set(json.loads(done.stdout))
