"""What a configuration of meta-training for tables names: the generator's sizes, the optimiser, the average."""

from __future__ import annotations

import torch
from torch.optim.swa_utils import AveragedModel

from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig
from modelgpt_cli.training.config import MetaTrainConfig
from modelgpt_cli.training.muon import BETAS, Muon
from modelgpt_cli.training.run import running_average


def generator_sizes(config: MetaTrainConfig) -> GeneratorConfig:
    """The sizes of a run's generator."""
    return GeneratorConfig(
        width=config.width, blocks=config.blocks, feedback=config.feedback, spare=config.spare, norm=config.norm
    )


def make_optimizer(generator: Generator, config: MetaTrainConfig) -> torch.optim.Optimizer:
    """The run's optimiser, AdamW or Muon."""
    if config.optimizer == "muon":
        return Muon(generator.named_parameters(), config.lr, config.weight_decay)
    lr, decay = config.lr, config.weight_decay
    # fused: a third of the time on a CPU
    return torch.optim.AdamW(generator.parameters(), lr=lr, betas=BETAS, weight_decay=decay, fused=True)


def make_average(generator: Generator, decay: float) -> AveragedModel | None:
    """The running average of the weights; None at a decay of 0."""
    return AveragedModel(generator, multi_avg_fn=running_average(decay)) if decay else None
