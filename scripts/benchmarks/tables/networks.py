"""The paper's baselines: our target network trained from random weights (Finetune), or by adapters (LoRA)."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .competitors import Competitor, one_hot
from .tasks import Table

EPOCHS, BATCH, LR, WEIGHT_DECAY, WIDTH = 20, 64, 2e-2, 1e-4, 128
LORA_R, LORA_ALPHA = 4, 8


class Mlp(nn.Module):
    """The target network of the paper's baselines: inputs -> 128 -> 128 -> outputs, with ReLU."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [n, C], or the standardised target [n, 1], of inputs [n, inputs]."""
        hidden = torch.relu(self.first(x))
        hidden = torch.relu(self.second(hidden))
        scores: Tensor = self.head(hidden)
        return scores


class Trained(Competitor):
    """`Mlp` from random weights, 20 epochs of Adam.

    Parameters
    ----------
    lora : bool
        Train only adapters of rank 4 on the two frozen random hidden layers, and the head.
    """

    def __init__(self, seed: int, threads: int, lora: bool = False) -> None:
        super().__init__(seed, threads)
        self.lora = lora

    def fit(self, train: Table) -> None:
        """Fit the preprocessing, then train for `EPOCHS` epochs."""
        torch.manual_seed(self.seed)
        y, task = train.y, train.task
        self.task, self.inputs = task, one_hot(train.columns)
        x = torch.from_numpy(np.asarray(self.inputs.fit_transform(train.frame), dtype=np.float32))  # [n, inputs]
        if task == "classification":
            self.classes_, codes = np.unique(y, return_inverse=True)
            target, n_outputs = torch.from_numpy(codes), len(self.classes_)  # [n]
        else:
            self.mean, self.std = float(y.mean()), float(max(y.std(), 1e-12))
            target = torch.from_numpy(((y - self.mean) / self.std).astype(np.float32))[:, None]  # [n, 1]
            n_outputs = 1
        self.net: nn.Module = Mlp(x.shape[1], n_outputs)
        if self.lora:
            from peft import LoraConfig, get_peft_model

            config = LoraConfig(
                r=LORA_R, lora_alpha=LORA_ALPHA, target_modules=["first", "second"], modules_to_save=["head"]
            )
            self.net = get_peft_model(self.net, config)
        loss: nn.Module = nn.CrossEntropyLoss() if task == "classification" else nn.MSELoss()
        trained = [p for p in self.net.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(trained, lr=LR, weight_decay=WEIGHT_DECAY)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimiser.zero_grad()
                loss(self.net(x[rows]), target[rows]).backward()
                optimiser.step()

    def package(self) -> int:
        """Return the bytes of the compressed preprocessing and float32 parameters (LoRA merged, as it would ship)."""
        if self.lora:
            self.net, self.lora = self.net.merge_and_unload(), False  # type: ignore[operator]
        parameters = [p.detach().numpy() for p in self.net.parameters()]
        return len(gzip.compress(pickle.dumps((self.inputs, parameters))))

    @torch.no_grad()
    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return probabilities (n, C), or predictions (n,)."""
        x = torch.from_numpy(np.asarray(self.inputs.transform(frame), dtype=np.float32))
        out = self.net(x)
        if self.task == "classification":
            return torch.softmax(out, dim=1).double().numpy()
        answers: np.ndarray = (out[:, 0].double() * self.std + self.mean).numpy()
        return answers
