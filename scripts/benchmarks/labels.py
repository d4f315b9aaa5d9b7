"""The methods in words, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterable

TABLES = {
    "majority": "majority / mean",
    "knn": "k nearest neighbours",
    "logistic": "logistic regression / ridge",
    "mlp": "MLP (scikit-learn)",
    "forest": "random forest",
    "boosting": "HistGradientBoosting",
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
    "lora": "LoRA",
    "finetune": "Finetune",
    "one_pass": "ModelGPT, one pass",
    "ensemble": "ModelGPT, default ensemble",
    "ensemble8": "ModelGPT, 8 members",
    "network": "ModelGPT, 8 members without trees",
    "tuned_ours": "ModelGPT-F, ensemble + one epoch",
}
"""Classification / regression, where they differ."""
CELLS = {
    "label_similarity": "label-name similarity",
    "tfidf": "TF-IDF + logistic regression",
    "probe_source": "linear probe, other domains' images",
    "ncm": "nearest class mean",
    "probe": "linear probe",
    "setfit": "SetFit",
    "dense_head": "dense head (Teachable Machine's recipe)",
    "head_then_all": "head, then all (fastai's fine_tune)",
    "lora": "LoRA",
    "finetune": "finetuning",
    "ours_words": "ModelGPT, requirement only",
    "ours_512": "ModelGPT, head on 512 rows",
    "ours": "ModelGPT",
    "ours_encoder": "ModelGPT, encoder alone",
    "ours_static": "ModelGPT, static encoder",
    "ours_multilingual": "ModelGPT, multilingual encoder",
    "ours_all_rows": "ModelGPT, head on all rows",
    "ours_tuned": "ModelGPT, one epoch of tuning",
    "pretrained": "pretrained weights",
    "generated": "weights generated from words",
    "built": "weights built from the images",
    "pretrained_gentle": "pretrained weights, the head at a tenth of the rate",
    "generated_gentle": "weights generated from words, likewise",
    "built_gentle": "weights built from the images, likewise",
}
"""Of texts and images."""
OURS = ("one_pass", "ensemble", "ensemble8", "network", "tuned_ours")
"""Of tables."""


def label(name: str, task: str) -> str:
    """Return a method of tables in words."""
    known, _, seconds = (name, "", "") if name in TABLES else name.partition("_tuned")
    for_classes, _, for_numbers = TABLES.get(known, known).partition(" / ")
    words = for_numbers or for_classes if task == "regression" else for_classes
    return f"{words}, tuned {seconds} s" if seconds else words


def in_order(names: Iterable[str], labels: Iterable[str] = TABLES) -> list[str]:
    """Sort methods as they are shown; unknown ones come last."""
    order = list(labels)
    return sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n))


def cells_in_order(names: Iterable[str]) -> list[str]:
    """Sort methods of texts and images as they are shown."""
    return in_order(names, CELLS)
