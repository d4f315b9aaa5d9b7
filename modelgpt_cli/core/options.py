"""Options, each once: a dataclass field with its help, type and range.

The command line, batch files, ``MODELGPT_*``, the configuration file and the Python verbs all take options from here.
What every domain understands stands in this module, one class a verb; what a domain alone understands stands in its
part ``options``, in a subclass of the same name. Adding an option is adding a field.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass

from modelgpt_cli.core.deploy import MAX_OPSET, MIN_OPSET, QUANTIZE
from modelgpt_cli.core.domain import usual_domains
from modelgpt_cli.core.option_fields import Options, option, option_like
from modelgpt_cli.core.runtimes import check_runtime

_CONFIGURED = "from --config"
# Numbers end where no machine or purpose is left: a slip or a hostile line is an error, and not a frozen machine.
MOST_SEED = 2**32 - 1
"""The largest that all of numpy's generators take."""
MOST_THREADS = 1024
MOST_ROWS = 10_000_000
"""Of rows at a time, written or generated."""
MOST_TOKENS = 10**12
MOST_USD = 10**6
MOST_SECONDS = 86_400.0


@dataclass(frozen=True)
class BuildOptions(Options):
    """How a model is to be built, whatever its domain."""

    data: str | None = option("Labelled data.", metavar="PATH", path="path", shown="the requirement's")
    sheet: str | None = option("Sheet of a workbook (Excel, ODS).", metavar="NAME|NUMBER", shown="the first table")
    target: str | None = option("Column to predict.", short="-t", metavar="COLUMN", shown="the requirement's")
    description: str | None = option("More words about the data.", short="-d", metavar="TEXT|@FILE")
    types: str | None = option(
        "YAML file of column types, one 'name: type' per line.", metavar="FILE", path="path", theme="Data"
    )
    merge_labels: bool = option("Merge labels that differ only in case, spaces or end marks.", False, theme="Data")
    keep_na: bool = option("Keep a class called NA, null or the like.", False, theme="Data")
    domain: str | None = option(
        "Kind of data, where there are none and the words don't say.", choices=usual_domains(), theme="Data"
    )
    ignore_words: bool = option("Apply no limits that only the sentence states.", False, theme="Limits")
    card: str | None = option(
        "Card to build; see modelgpt zoo.", metavar="NAME[/STORAGE]", shown="the best", theme="Limits"
    )
    best_effort: bool = option("If no card meets the limits, write the nearest.", False, theme="Limits")
    generator: str | None = option(
        "Generator checkpoint.", metavar="DIR", shown="the bundled one", shared=True, path="place", theme="Model"
    )
    encoder: str | None = option(
        "Text encoder.", metavar="NAME|DIR", shown="the bundled one", shared=True, path="place", theme="Model"
    )
    device: str = option("Device to compute on.", "auto", choices=("auto", "cpu", "cuda", "mps"), shared=True)
    seed: int = option("Random seed.", 0, least=0, most=MOST_SEED, shared=True)


@dataclass(frozen=True)
class BatchOptions(Options):
    """Which models are built at once, and where."""

    batch: str | None = option(
        "Build a model per line of a JSON Lines file ('-': stdin).", metavar="FILE", theme="Batch"
    )
    jobs: int | None = option(
        "Models to build at a time.", least=1, most=MOST_THREADS, shown="one per core", theme="Batch"
    )
    engine: str | None = option(
        "Build on this machine, or on a Ray cluster.", choices=("processes", "ray"), shown="processes", theme="Batch"
    )


@dataclass(frozen=True)
class LLMOptions(Options):
    """Which LLM to ask, and how."""

    llm: str | None = option("LLM to ask.", metavar="MODEL", shown="the provider's", shared=True, theme="LLM")
    provider: str | None = option(
        "Server by name, such as openai or ollama; see docs/llm.md.", metavar="NAME", shared=True, theme="LLM"
    )
    base_url: str | None = option(
        "Address of a server with a Chat Completions API.", metavar="URL", shared=True, theme="LLM"
    )
    cache: bool = option("Ignore the answer cache.", True, shared=True, theme="LLM")
    timeout: float | None = option(
        "Time to wait for an answer.",
        metavar="SECONDS",
        least=0,
        most=MOST_SECONDS,
        above=True,
        shown="the provider's, or 60",
        theme="LLM",
    )
    retries: int | None = option(
        "Times to retry a failed call.", least=0, most=100, shown="the provider's, or 3", theme="LLM"
    )
    redact: bool = option(
        "Hide e-mail addresses, long numbers, keys and the like from it.", False, shared=True, theme="LLM"
    )


@dataclass(frozen=True)
class DescribeOptions(Options):
    """How data are to be described, whatever their domain."""

    sheet: str | None = option_like(BuildOptions, "sheet")
    target: str | None = option_like(BuildOptions, "target", shown="guessed")
    description: str | None = option_like(BuildOptions, "description")
    types: str | None = option_like(BuildOptions, "types")
    merge_labels: bool = option_like(BuildOptions, "merge_labels")
    keep_na: bool = option_like(BuildOptions, "keep_na")
    offline: bool = option("Ask no LLM.", False, shared=True, theme="LLM")
    dry_run: bool = option("Send nothing; print exactly what would be sent.", False, theme="LLM")
    seed: int = option_like(BuildOptions, "seed")


@dataclass(frozen=True)
class ParseOptions(Options):
    """How a request in words is to be read."""

    offline: bool = option_like(DescribeOptions, "offline")
    dry_run: bool = option_like(DescribeOptions, "dry_run")


@dataclass(frozen=True)
class GenerateOptions(Options):
    """How an LLM is to write rows."""

    rows: int = option("Rows, over all classes.", MISSING, short="-n", least=1, most=MOST_ROWS)
    data: str | None = option_like(BuildOptions, "data", help="Real rows, some to show as examples.")
    sheet: str | None = option_like(BuildOptions, "sheet")
    examples: int = option("Real rows to show to the LLM; 0 for none.", 8, least=0, most=1000)
    description: str | None = option_like(BuildOptions, "description")
    types: str | None = option_like(BuildOptions, "types")
    batch: int = option("Rows per request.", 20, least=1, most=1000, theme="LLM")
    max_tokens: int | None = option(
        "Stop before using more than N tokens, in and out.", least=1, most=MOST_TOKENS, theme="LLM"
    )
    max_cost: float | None = option(
        "Stop before spending more than this.", metavar="USD", least=0, most=MOST_USD, above=True, theme="LLM"
    )
    dry_run: bool = option_like(DescribeOptions, "dry_run", help="Send nothing; print a request and an estimate.")
    resume: bool = option("Continue an interrupted run.", False)
    seed: int = option_like(BuildOptions, "seed")


@dataclass(frozen=True)
class FindOptions(Options):
    """Where to look for data sets."""

    catalog: str | None = option(
        "Dataset cards: a folder, or a YAML or JSONL file.", metavar="DIR|FILE", shared=True, path="path"
    )
    hub: bool = option("Search the Hugging Face hub too; this sends it the words.", False)
    top: int = option("Results to show.", 5, short="-k", least=1, most=10_000)


@dataclass(frozen=True)
class BuildDataOptions(Options):
    """Which data set of a catalogue to build from."""

    data_from: str | None = option("Use this data set of the catalogue, once you agree.", metavar="NAME", theme="Data")
    catalog: str | None = option_like(FindOptions, "catalog", theme="Data")
    yes: bool = option("Agree to the data of --data-from.", False, short="-y", theme="Data")


@dataclass(frozen=True)
class ZooOptions(Options):
    """What the figures of cards are given for."""

    columns: int = option("Tables: columns of numbers to compute for.", 10, least=1, most=100_000)
    classes: int = option("Classes to compute for.", 2, least=2, most=100_000)
    batch_size: int = option("Rows per batch, for latency and memory.", 1, least=1, most=100_000)
    threads: int = option("CPU threads, for latency and memory.", 1, least=1, most=MOST_THREADS)


@dataclass(frozen=True)
class BuildLLMOptions(LLMOptions):
    """What an LLM does in a build: it describes data, and writes rows."""

    offline: bool = option_like(DescribeOptions, "offline")
    generate: int | None = option("Have an LLM write N rows to learn from, too.", least=1, most=MOST_ROWS, theme="LLM")
    examples: int = option_like(GenerateOptions, "examples", theme="LLM")
    generate_tokens: int | None = option_like(GenerateOptions, "max_tokens")
    max_cost: float | None = option_like(GenerateOptions, "max_cost")


@dataclass(frozen=True)
class TuneOptions(Options):
    """How a model is to be finetuned."""

    sheet: str | None = option_like(BuildOptions, "sheet")
    epochs: int = option("Passes over the data.", 1, least=1, most=1_000_000)
    lr: float | None = option("Learning rate.", least=0, most=100, above=True, shown="chosen")
    batch_size: int | None = option("Rows per step.", least=1, most=MOST_ROWS, shown="by domain")
    weight_decay: float | None = option("Weight decay of the optimizer.", least=0, most=100, shown="by domain")
    device: str = option_like(BuildOptions, "device")
    seed: int = option_like(BuildOptions, "seed")


@dataclass(frozen=True)
class SearchOptions(LLMOptions):
    """How other settings of a build and its tuning are to be searched, and how an LLM is asked for some."""

    search: int | None = option(
        "Try N settings; keep the best if it is surely better.", least=1, most=100_000, theme="Search"
    )
    minutes: float | None = option(
        "Search for so long.", metavar="M", least=0, most=1_000_000, above=True, theme="Search"
    )
    proposer: str = option("Who proposes settings.", "tpe", choices=("tpe", "random", "llm"), theme="Search")
    plot: str | None = option(
        "Draw the trials into a PNG, SVG or PDF file.", metavar="FILE", path="path", theme="Search"
    )
    dry_run: bool = option_like(
        DescribeOptions, "dry_run", help="Send nothing; print what --proposer llm would send first."
    )


@dataclass(frozen=True)
class ExportOptions(Options):
    """How a model's file is to be written, whatever its domain."""

    sheet: str | None = option_like(BuildOptions, "sheet", help="Sheet of --data, if that is a workbook.")
    opset: int | None = option(
        "ONNX operator set.", least=MIN_OPSET, most=MAX_OPSET, shown="17; 18 for traced encoders"
    )
    quantize: str = option("Store the weights in fewer bits.", "none", choices=QUANTIZE)
    runtime: str | None = option("onnxruntime that must load it, such as ort-1.10.", metavar="ort-1.N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.runtime is not None:
            object.__setattr__(self, "runtime", check_runtime("--runtime", self.runtime))


@dataclass(frozen=True)
class PredictOptions(Options):
    """How rows are to be scored, whatever their domain."""

    sheet: str | None = option_like(BuildOptions, "sheet")
    proba: bool = option("Add a column probability_<label> for each class.", False, short="-p")
    keep: str | None = option("Columns of the input to put before the answers.", metavar="COL,...|all", short="-k")
    min_confidence: float | None = option(
        "Leave the label empty where the likeliest class is less likely.", metavar="P", least=0, most=1
    )
    strict: bool = option("Exit 3 if the data hold what the model was not made for.", False)
    findings: str | None = option("Write counts of that into a JSON file.", metavar="FILE", path="path")
    chunk_rows: int = option("Rows to hold in memory at a time.", 16_384, least=1, most=MOST_ROWS)
    threads: int | None = option("CPU threads to use.", least=1, most=MOST_THREADS, shown="all cores", shared=True)


@dataclass(frozen=True)
class ReportOptions(Options):
    """What a report of a model is to hold."""

    data: str | None = option(
        "Labelled rows that the model wasn't built from, to measure it on.", metavar="PATH", path="path"
    )
    target: str | None = option_like(BuildOptions, "target", help="Column of true values.", shown="the model's target")
    importance: bool = option("Measure what is lost when a column is shuffled.", False)
    learning_curve: str | None = option(
        "Labelled rows to build from anew: shows whether more of them would pay.", metavar="PATH", path="path"
    )
    pdf: str | None = option("Print it into a PDF too; takes Chromium.", metavar="FILE", path="path")
    model_card: str | None = option("Write a Hugging Face model card (README.md) too.", metavar="FILE", path="path")
    licence: str | None = option("Licence for --model-card, by its SPDX name.", metavar="ID", shown="unknown")
    seed: int = option_like(BuildOptions, "seed", help="Random seed of the intervals and the shuffles.")


@dataclass(frozen=True)
class BundleOptions(Options):
    """What goes into a bundle beside the model."""

    data: str | None = option(
        "Labelled rows to measure it on; some go into it as they are.", metavar="PATH", path="path"
    )
    target: str | None = option_like(BuildOptions, "target", help="Column of true values.", shown="the model's target")
    rows: int = option("Golden rows, with expected answers; 0 for none.", 8, short="-n", least=0, most=1000)
    licence: str | None = option("The model's licence, by its SPDX name.", metavar="ID", shown="unknown")
    key: str | None = option("Sign with this private key (PEM, elliptic curve).", metavar="FILE", path="path")


@dataclass(frozen=True)
class VerifyOptions(Options):
    """What a bundle is held against."""

    key: str | None = option("Public key that it must be signed with (PEM).", metavar="FILE", path="path")


@dataclass(frozen=True)
class PushOptions(Options):
    """How a model is sent somewhere."""

    public: bool = option("Hub: let everybody see a repository that has to be made.", False)
    licence: str | None = option_like(BundleOptions, "licence", help="Hub: the model's licence, by its SPDX name.")
    dry_run: bool = option("Send nothing; print what would be sent.", False)


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """How a model is to be measured."""

    sheet: str | None = option_like(BuildOptions, "sheet")
    target: str | None = option_like(BuildOptions, "target", help="Column of true values.", shown="the model's target")
    plot: str | None = option("Draw the result into a PNG, SVG or PDF file.", metavar="FILE", path="path")
    strict: bool = option_like(PredictOptions, "strict")
    importance: bool = option("Measure what is lost when a column is shuffled.", False, theme="Importance")
    importance_metric: str | None = option(
        "Metric to measure it in.", metavar="NAME", shown="log_loss or r2", theme="Importance"
    )
    importance_repeats: int = option("Shuffles of each column.", 5, least=1, most=10_000, theme="Importance")
    seed: int = option_like(BuildOptions, "seed", help="Random seed of the shuffles.", theme="Importance")
    chunk_rows: int = option_like(PredictOptions, "chunk_rows")
    threads: int | None = option_like(PredictOptions, "threads")


@dataclass(frozen=True)
class ServeOptions(Options):
    """How models are to be served."""

    host: str = option("Address to listen on; 0.0.0.0: any network's.", "127.0.0.1", metavar="ADDRESS")
    port: int = option("Port to listen on; 0 takes a free one.", 8000, short="-p", least=0, most=65_535)
    api_key: str | None = option("Key to ask requests for; better as MODELGPT_API_KEY.", metavar="KEY", shared=True)
    log_level: str = option(
        "What to log: warning, info (requests too) or debug.",
        "info",
        metavar="LEVEL",
        choices=("warning", "info", "debug"),
    )
    batch_ms: float = option(
        "Time to wait for others' rows to run together.", 2.0, metavar="MS", least=0, most=1000, theme="Load"
    )
    max_batch: int = option("Rows to run together, at most.", 256, least=1, most=MOST_ROWS, theme="Load")
    max_waiting: int = option("Requests to hold; further ones get 503.", 1000, least=1, most=1_000_000, theme="Load")
    max_body: float = option(
        "Largest body of a request.", 10.0, metavar="MB", least=0, most=1000, above=True, theme="Load"
    )
    timeout: float = option(
        "Time for a request to arrive and be answered.", 30.0, metavar="SECONDS", least=0, most=3600, above=True,
        theme="Load",
    )  # fmt: skip
    workers: int = option("Processes to answer in.", 1, least=1, most=MOST_THREADS, theme="Load")
    jobs: int | None = option(
        "Batches to run at a time in a process.", least=1, most=MOST_THREADS, shown="one per core", theme="Load"
    )
    threads: int = option_like(
        PredictOptions, "threads", help="CPU threads for a batch.", default=1, shown="", shared=False, theme="Load"
    )


@dataclass(frozen=True)
class McpOptions(Options):
    """What an agent may use."""

    root: str = option("Folder to read and write below.", ".", metavar="DIR", path="path", shown="this folder")


@dataclass(frozen=True)
class DoctorOptions(Options):
    """Which LLM server to try, or which file to look at."""

    model: str | None = option("Say where a model.onnx runs, and nothing else.", metavar="FILE", path="path")
    base_url: str | None = option_like(
        LLMOptions, "base_url", help="Address of the LLM server.", theme="", shown="OPENAI_BASE_URL"
    )
    provider: str | None = option_like(LLMOptions, "provider", theme="")
    timeout: float = option_like(LLMOptions, "timeout", theme="", default=5.0, shown="")


@dataclass(frozen=True)
class MetaTrainOptions(Options):
    """How a generator is to be trained, whatever its domain."""

    tasks: str | None = option("Folder of real tasks with cards.", metavar="DIR", path="path")
    config: str | None = option("YAML file of the training's settings.", metavar="FILE", path="path")
    steps: int | None = option("Train for this many steps.", least=1, most=10**9, shown=_CONFIGURED)
    minutes: float | None = option("Train for this many minutes.", metavar="N", least=0, most=1_000_000, above=True)
    out: str | None = option("Folder for checkpoints and log.", metavar="DIR", path="path", shown="runs/DOMAIN")
    resume: bool = option("Continue from the last checkpoint in --out.", False)
    update: str | None = option(
        "Backpropagate, or follow Algorithm 1.", choices=("backprop", "delta"), shown=_CONFIGURED
    )
    precision: str | None = option(
        "Of the generator; auto: bf16 on CUDA.", choices=("auto", "bf16", "float32"), shown=_CONFIGURED
    )
    compile: bool | None = option("Use torch.compile.", shown=_CONFIGURED)
    workers: int | None = option("Processes that draw tasks ahead.", least=0, most=MOST_THREADS, shown=_CONFIGURED)
    device: str = option_like(BuildOptions, "device")
    seed: int | None = option_like(BuildOptions, "seed", default=None, shown=_CONFIGURED)
