"""What a configuration of meta-training for tables names: the generator's sizes and the optimiser."""

from __future__ import annotations

import torch

from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig
from modelgpt_cli.training.muon import BETAS, Muon


def generator_sizes(config: MetaTrainConfig) -> GeneratorConfig:
    """Return the sizes of a run's generator."""
    return GeneratorConfig(
        width=config.width, blocks=config.blocks, feedback=config.feedback, spare=config.spare, norm=config.norm
    )


def make_optimizer(generator: Generator, config: MetaTrainConfig) -> torch.optim.Optimizer:
    """Return the run's optimiser, AdamW or Muon."""
    if config.optimizer == "muon":
        return Muon(generator.named_parameters(), config.lr, config.weight_decay)
    lr, decay = config.lr, config.weight_decay
    # fused: a third of the time on a CPU
    return torch.optim.AdamW(generator.parameters(), lr=lr, betas=BETAS, weight_decay=decay, fused=True)
