"""SetFit for the text benchmark: its own package, with the benchmark's backbone and the settings of its paper.

Contrastive pairs (20 iterations over the examples), cosine-similarity loss, one epoch of AdamW, then logistic
regression (Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts").
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_text_data import codes
from benchmark_text_networks import INFERENCE_BATCH, MAX_TOKENS

ITERATIONS, BATCH, BODY_LR = 20, 16, 2e-5


@dataclass
class SetFit:
    """A fitted SetFitModel."""

    model: Any
    classes: int
    facts: dict[str, Any]

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """In float32; a class without an example gets 0."""
        p = np.zeros((len(texts), self.classes))
        said = self.model.predict_proba(
            joined(texts, pairs), batch_size=INFERENCE_BATCH, as_numpy=True, show_progress_bar=False
        )
        p[:, self.model.model_head.classes_] = said
        return p


class SetFitFit:
    """Learns a task with SetFit.

    Parameters
    ----------
    folder : Path
        The backbone, in sentence-transformers' layout.
    bf16 : bool
        Train the body with its products in bfloat16.
    """

    def __init__(self, folder: Path, bf16: bool) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # its trainer would look for a model card there
        for name in ("setfit", "datasets", "sentence_transformers"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        try:
            import setfit
        except ImportError as error:
            raise SystemExit("SetFit is not installed. Run: pip install setfit") from error
        from datasets import disable_progress_bars
        from sentence_transformers import SentenceTransformer

        disable_progress_bars()
        self.library, self.bf16 = setfit, bf16
        self.body = SentenceTransformer(str(folder), device="cpu")
        self.body.max_seq_length = MAX_TOKENS

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: np.ndarray,
        classes: Sequence[str],
        requirement: str,
        seed: int,
    ) -> SetFit:
        """One model; pairs are joined to one text, as it has no other way to take them."""
        from copy import deepcopy

        from datasets import Dataset
        from sklearn.linear_model import LogisticRegression

        torch.manual_seed(seed)
        np.random.seed(seed)  # its pairs are drawn with numpy's global generator
        inputs, targets = joined(texts, pairs), codes(labels, classes).tolist()
        model = self.library.SetFitModel(model_body=deepcopy(self.body), model_head=LogisticRegression(max_iter=1000))
        with tempfile.TemporaryDirectory(prefix="modelgpt-setfit-") as folder:
            arguments = self.library.TrainingArguments(
                output_dir=folder, batch_size=BATCH, num_epochs=1, num_iterations=ITERATIONS, seed=seed,
                body_learning_rate=BODY_LR, report_to="none", save_strategy="no", logging_strategy="no",
                logging_first_step=False,
                show_progress_bar=False,
            )  # fmt: skip
            rows = Dataset.from_dict({"text": inputs, "label": targets})
            trainer = self.library.Trainer(model=model, args=arguments, train_dataset=rows)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                trainer.train_embeddings(inputs, targets)
            trainer.train_classifier(inputs, targets)
            steps = int(trainer.st_trainer.state.global_step)
        return SetFit(model, len(classes), {"dtype": "bf16" if self.bf16 else "fp32", "epochs": 1, "steps": steps})


def make_setfit(folder: Path, bf16: bool) -> SetFitFit:
    """Load the body, and the package with what it needs; neither is timed."""
    return SetFitFit(folder, bf16)


def joined(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    """A pair as one text, ``a [SEP] b``."""
    return list(texts) if pairs is None else [f"{a} [SEP] {b}" for a, b in zip(texts, pairs, strict=True)]
