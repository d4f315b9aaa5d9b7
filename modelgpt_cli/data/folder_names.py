"""How files and folders of data are called whose names say what they are for. Used by all readers of folders."""

from __future__ import annotations

TRAIN_NAMES = ("train", "training", "data", "dataset")
TEST_NAMES = ("test", "testing")
VALIDATION_NAMES = ("val", "valid", "validation")
ABOUT = ("readme", "description.txt")
"""How files that describe the data begin, in lower case."""
SHEET_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
TABLE_SUFFIXES = (
    ".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", *SHEET_SUFFIXES, ".data", ".dat", ".arff",
)  # fmt: skip
CLASS_LISTS = ("class_dict.csv", "class_dict_seg.csv")
"""Tables that name the classes of the data beside them, and hold no rows themselves."""
