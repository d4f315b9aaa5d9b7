"""SetFit for the text benchmark: its own package, with the benchmark's backbone and the settings of its paper.

Contrastive pairs (20 iterations over the examples), cosine-similarity loss, one epoch of AdamW, then logistic
regression (Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts").
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from ..harness import Fitted
from .networks import MAX_TOKENS
from .tasks import Rows, TextTask

ITERATIONS, BATCH, BODY_LR = 20, 16, 2e-5
INFERENCE_BATCH = 64


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

    def __call__(self, task: TextTask, rows: Rows, seed: int) -> Fitted:
        """Fit one model; pairs are joined to one text, as it has no other way to take them."""
        from copy import deepcopy

        from datasets import Dataset
        from sklearn.linear_model import LogisticRegression

        torch.manual_seed(seed)
        np.random.seed(seed)  # its pairs are drawn with numpy's global generator
        inputs, targets = joined(rows), task.codes(rows.labels).tolist()
        model = self.library.SetFitModel(model_body=deepcopy(self.body), model_head=LogisticRegression(max_iter=1000))
        with tempfile.TemporaryDirectory(prefix="modelgpt-setfit-") as folder:
            arguments = self.library.TrainingArguments(
                output_dir=folder, batch_size=BATCH, num_epochs=1, num_iterations=ITERATIONS, seed=seed,
                body_learning_rate=BODY_LR, report_to="none", save_strategy="no", logging_strategy="no",
                logging_first_step=False, show_progress_bar=False,
            )  # fmt: skip
            data = Dataset.from_dict({"text": inputs, "label": targets})
            trainer = self.library.Trainer(model=model, args=arguments, train_dataset=data)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                trainer.train_embeddings(inputs, targets)
            trainer.train_classifier(inputs, targets)
            steps = int(trainer.st_trainer.state.global_step)

        def predict(test: Rows) -> np.ndarray:
            p = np.zeros((len(test), len(task.classes)))  # a class without an example gets 0
            p[:, model.model_head.classes_] = model.predict_proba(
                joined(test), batch_size=INFERENCE_BATCH, as_numpy=True, show_progress_bar=False
            )
            return p

        return Fitted(predict, {"dtype": "bf16" if self.bf16 else "fp32", "epochs": 1, "steps": steps})


def joined(rows: Rows) -> list[str]:
    """Return a pair as one text, ``a [SEP] b``."""
    if rows.pairs is None:
        return rows.texts
    return [f"{a} [SEP] {b}" for a, b in zip(rows.texts, rows.pairs, strict=True)]
