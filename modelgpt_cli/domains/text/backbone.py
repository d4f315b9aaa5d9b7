"""The backbone: token ids to token states, with LoRA factors that come from outside.

Shapes: N rows, T tokens, E state size, r rank.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.func import functional_call

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.domains.shared.adapted import AdaptedModule
from modelgpt_cli.domains.text.architectures import MULTILINGUAL, STATIC, TextCard
from modelgpt_cli.domains.text.bert import Bert, bert_config, read_bert
from modelgpt_cli.domains.text.multilingual import MultilingualEncoder, from_package
from modelgpt_cli.domains.text.static import StaticEncoder
from modelgpt_cli.parameter_generator.default_encoder import default_folder
from modelgpt_cli.parameter_generator.hub import kept_snapshot, pin
from modelgpt_cli.parameter_generator.shared import read_once


@dataclass
class Tokens:
    """Padded texts, or pairs of texts in one sequence.

    Attributes
    ----------
    ids, mask : int64 (N, T)
    segments : int64 (N, T)
        1 from the second text's first token on, else 0.
    """

    ids: Tensor
    mask: Tensor
    segments: Tensor

    def to(self, device: str) -> Tokens:
        """The same on another device."""
        return Tokens(self.ids.to(device), self.mask.to(device), self.segments.to(device))


class Backbone(AdaptedModule):
    """An encoder with places for LoRA factors.

    Attributes
    ----------
    size : int
        E.
    """

    def __init__(self, card: TextCard, model: nn.Module, tokenizer: Tokenizer, *, type_ids: bool) -> None:
        super().__init__(model, card)
        _check_layers(card, self)
        self.card, self.tokenizer, self.type_ids = card, tokenizer, type_ids
        self.size = int(model.config.hidden_size)  # type: ignore[union-attr,arg-type]

    def forward(self, tokens: Tokens, lora: Mapping[str, Tensor] | None = None) -> Tensor:
        """Token states (N, T, E).

        Parameters
        ----------
        lora : mapping of str to Tensor, optional
            ``<layer>.lora_A`` (r, inputs) and ``<layer>.lora_B`` (outputs, r); the encoder as it is without it.
        """
        inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask}
        if self.type_ids:
            inputs["token_type_ids"] = tokens.segments
        if not lora:
            return self.network(**inputs).last_hidden_state  # type: ignore[no-any-return]
        places = self.with_places()
        states: Tensor = functional_call(places.model, places.placed(lora), args=(), kwargs=inputs).last_hidden_state
        return states

    def merge(self, lora: Mapping[str, Tensor] | None) -> nn.Module:
        """A copy of the encoder with the factors merged into its weights, which are rounded to halves."""
        return in_halves(super().merge(lora))


class MultilingualBackbone(AdaptedModule):
    """The multilingual encoder, with places for LoRA factors in its last part; otherwise as `Backbone`.

    What comes before, which is nearly all of the work, is the same whatever the factors: see `domains.text.pooled`.
    """

    type_ids = False

    def __init__(self, card: TextCard, model: MultilingualEncoder, tokenizer: Tokenizer) -> None:
        super().__init__(copy.deepcopy(model.average), card)
        _check_layers(card, self)
        self.card, self.tokenizer = card, tokenizer
        self.encoder = model.requires_grad_(False).eval()
        self.size = model.config.hidden_size

    def forward(self, pooled: Tensor, count: Tensor, lora: Mapping[str, Tensor] | None = None) -> Tensor:
        """Embeddings (N, E) of what the encoder's `pool` gives; for `lora` see `Backbone.forward`."""
        if not lora:
            return self.network(pooled, count)  # type: ignore[no-any-return]
        places = self.with_places()
        found: Tensor = functional_call(places.model, places.placed(lora), args=(pooled, count))
        return found

    def merge(self, lora: Mapping[str, Tensor] | None) -> nn.Module:
        """A copy of the encoder with the factors merged into its weights, which are rounded to halves."""
        last = super().merge(lora)
        with torch.inference_mode(False):  # what is made in inference mode can't be trained later
            encoder = copy.deepcopy(self.encoder)
            encoder.set_submodule("average", last)
        return in_halves(encoder)


class StaticBackbone(nn.Module):
    """The static encoder, which takes no LoRA factors; otherwise as `Backbone`."""

    type_ids = False
    rank = 0

    def __init__(self, card: TextCard, model: StaticEncoder, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.card, self.model, self.tokenizer = card, model, tokenizer
        self.size = model.config.hidden_size
        self.adapted: dict[str, tuple[int, int]] = {}

    def merge(self, lora: Mapping[str, Tensor] | None) -> nn.Module:
        """A copy of the encoder; there are no factors."""
        with torch.inference_mode(False):  # what is made in inference mode can't be trained later
            return copy.deepcopy(self.model)


def in_halves(encoder: nn.Module) -> nn.Module:
    """Round an encoder's matrices to what 16 bits hold; return it. A file then keeps them exactly, in half the space.

    The head is solved on what the rounded encoder says, so that nothing is lost by it afterwards.
    """
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 2 and parameter.dtype == torch.float32:
                half = parameter.half()
                if half.isfinite().all():
                    parameter.copy_(half)
    return encoder


AnyBackbone: TypeAlias = Backbone | MultilingualBackbone
Shown: TypeAlias = AnyBackbone | StaticBackbone
"""What a build may have."""


def _check_layers(card: TextCard, backbone: AdaptedModule) -> None:
    """Make sure that factors go somewhere.

    Raises
    ------
    UsageError
        None of the layers is meant by the card.
    """
    if not backbone.adapted:
        raise UsageError(
            f"No LoRA factors can be put into {card.name!r}.",
            f"None of its layers fits {card.modules!r}.",
            "Choose another --backbone.",
        )


def load_backbone(card: TextCard) -> Backbone:
    """Load a card's encoder and tokenizer, from disk or from the hub, with places for LoRA factors.

    Raises
    ------
    UsageError
        There is no such folder, or it holds no encoder that transformers knows, or no tokenizer.
    UnreachableError
        The hub is out of reach, or has no such model.
    """
    model, tokenizer = load_encoder(card.path())
    limit = getattr(model.config, "max_position_embeddings", None)
    if isinstance(limit, int) and 0 < limit < card.max_tokens:
        raise UsageError(f"{card.name!r} reads {limit} tokens at most; {card.max_tokens} were asked for.")
    type_ids = getattr(model.config, "type_vocab_size", 0) or 0
    return Backbone(card, model, tokenizer, type_ids=type_ids > 1)


def load_shown(card: TextCard) -> Shown:
    """As `load_any`, or the static encoder.

    Raises
    ------
    ModelGPTError
        Its table did not come with this installation, or is not the expected one.
    """
    if card.name != STATIC:
        return load_any(card)
    from modelgpt_cli.domains.text.static_weights import read_static, read_tokenizer

    return StaticBackbone(card, read_static(), read_tokenizer())


def load_any(card: TextCard) -> AnyBackbone:
    """As `load_backbone`, or the multilingual encoder: what a generator can be trained for.

    Raises
    ------
    ModelGPTError
        Its package is not installed, or not the expected one.
    """
    if card.name == STATIC:
        raise UsageError(f"{card.name!r} takes no LoRA factors: no generator can be trained for it.")
    if card.name != MULTILINGUAL:
        return load_backbone(card)
    from modelgpt_cli.domains.text.multilingual_package import read_tokenizer, read_weights

    return MultilingualBackbone(card, from_package(read_weights()), read_tokenizer())


shared_backbone = read_once(load_shown, lambda card: card.source or default_folder())
"""See `load_shown`; read once in a process, and checked then, for those who only run it."""


def encoder_shapes(card: TextCard) -> nn.Module | None:
    """A card's encoder without its numbers, on torch's "meta" device; None where its configuration is not on disk."""
    source = card.path()  # which hashes the shipped encoder's weights
    if _is_shipped(source):
        with torch.device("meta"):
            return Bert(bert_config(Path(source))).eval()
    from transformers import AutoConfig, AutoModel

    try:
        with _quiet():
            config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError):
        return None
    with torch.device("meta"):
        model: nn.Module = AutoModel.from_config(config, attn_implementation="eager")
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]
    return model.eval()


def load_encoder(source: str) -> tuple[Any, Tokenizer]:
    """An encoder and its fast tokenizer, as transformers loads them; errors as `load_backbone` has them.

    The shipped one is loaded without transformers.
    """
    folder = Path(source)
    if _is_shipped(source):
        return read_bert(folder)
    if source.startswith((".", "/", "~")) and not folder.is_dir():
        raise UsageError(f"There is no folder {source}.", hint="Give --backbone a model folder, or a name on the hub.")
    from transformers import AutoModel, AutoTokenizer

    with _quiet():
        place, revision = (source, None) if folder.is_dir() else _on_hub(source)
        pinned: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            # On the CPU the fused attention's gradient takes twice the time of all the rest together.
            model, report = AutoModel.from_pretrained(
                place,
                attn_implementation="eager",
                output_loading_info=True,
                trust_remote_code=False,
                **pinned,
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise _not_loaded(source, folder.is_dir(), error) from error
        if getattr(model.config, "is_encoder_decoder", False) or not hasattr(model.config, "hidden_size"):
            raise UsageError(f"{source} is no text encoder.", f"It is a {type(model).__name__}.", "Choose another one.")
        lacking = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if lacking:  # transformers would fill them with random numbers
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise _not_loaded(source, folder.is_dir(), ValueError(f"Its weights lack {lacking[0]}{more}."))
        try:
            fast = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **pinned).backend_tokenizer
            tokenizer: Tokenizer = Tokenizer.from_str(fast.to_str())
        except Exception as error:  # the tokenizers library has no narrower kind
            raise _no_tokenizer(source, " ".join(str(error).split())[:300]) from error
    # Without a tokenizer's files transformers makes one that knows the special tokens and no word.
    known, rows = tokenizer.get_vocab_size(), model.config.vocab_size
    if not rows // 2 <= known <= rows:
        raise _no_tokenizer(source, f"It knows {known:,} tokens, and the encoder {rows:,}.")
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.float(), tokenizer


def _is_shipped(source: str) -> bool:
    with contextlib.suppress(ModelGPTError):  # its package is not installed
        return Path(source) == default_folder()
    return False


def _on_hub(name: str) -> tuple[str, str | None]:
    """A hub name with its revision, or where the hub can't be asked, the folder in its cache that was loaded before.

    Asked once, here: transformers would try for half a minute a file.
    """
    try:
        return name, pin(name)
    except Exception as error:  # each version of the hub's client has its own kind for no connection
        try:
            return kept_snapshot(name), None
        except (OSError, ValueError):
            raise _not_loaded(name, False, error) from error


def _no_tokenizer(source: str, cause: str) -> UsageError:
    hint = "A folder with a tokenizer.json is needed, as save_pretrained of a fast tokenizer writes it."
    return UsageError(f"{source} has no tokenizer that can be used.", cause, hint)


def _not_loaded(source: str, is_folder: bool, error: Exception) -> ModelGPTError:
    cause = " ".join(str(error).split())[:300]
    if is_folder:
        hint = "It must hold a config.json with a known model_type, and the weights: what save_pretrained writes."
        return UsageError(f"{source} holds no encoder that transformers can load.", cause, hint)
    return UnreachableError(
        f"The backbone {source!r} can't be loaded.",
        cause,
        "Give --backbone a local model folder, or leave it out for the installed encoder, which needs no network.",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and load reports, which tell of weights that are left out on purpose."""
    from transformers.utils import logging as hf

    level, bars = hf.get_verbosity(), hf.is_progress_bar_enabled()
    hf.set_verbosity_error()
    hf.disable_progress_bar()
    try:
        yield
    finally:
        hf.set_verbosity(level)
        if bars:
            hf.enable_progress_bar()
        logging.getLogger("transformers").propagate = False
