"""Our readers of files beside others: DuckDB on CSV, openpyxl on workbooks, charset-normalizer on encodings.

python -m scripts.benchmarks readers csv FOLDER     awkward files: what each finds in them
python -m scripts.benchmarks readers speed          a CSV of 10 million rows: seconds and peak memory
python -m scripts.benchmarks readers sheets         a workbook of 50,000 × 10 cells
python -m scripts.benchmarks readers encodings      small samples of 18 kinds
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

WORDS = {
    "cp1252 German": ("cp1252", "grün weiß Größe schön Straße für über Äpfel Öl Müller Käse München"),
    "cp1252 French": ("cp1252", "café été déjà garçon élève à la très français où crème hôtel œuvre"),
    "cp1252 Spanish": ("cp1252", "niño señor mañana corazón está qué también año jamón español"),
    "cp1252 signs": ("cp1252", "klein € groß 20 € – “Lovely” don’t shop…"),
    "cp1250 Polish": ("cp1250", "żółty gęś łódź mały duży zielony czerwony święto źródło piękny"),
    "cp1250 Czech": ("cp1250", "žlutý kůň příliš malý velký červený dům město řeka člověk"),
    "cp1254 Turkish": ("cp1254", "kırmızı yeşil büyük küçük şehir ev iyi kötü fiyat mağaza"),
    "cp1251 Russian": ("cp1251", "красный синий зелёный большой маленький город дом хорошо плохо"),
    "cp1253 Greek": ("cp1253", "κόκκινο μπλε πράσινο μεγάλο μικρό πόλη σπίτι καλό κακό τιμή"),
    "cp1256 Arabic": ("cp1256", "أحمر أزرق أخضر كبير صغير مدينة بيت جيد سيئ سعر"),
    "gb18030 Chinese": ("gb18030", "红色 蓝色 绿色 大 小 城市 房子 很好 不好 价格 商品 商店"),
    "big5 Chinese": ("big5", "紅色 藍色 綠色 大 小 城市 房子 很好 不好 價格 商品 商店"),
    "cp932 Japanese": ("cp932", "赤い 青い みどり 大きい 小さい まち いえ よい わるい カメラ ラジオ"),
    "cp949 Korean": ("cp949", "빨강 파랑 초록 크다 작다 도시 집 좋다 나쁘다 가격"),
    "KOI8-R Russian": ("koi8-r", "красный синий зелёный большой маленький город дом хорошо плохо"),
    "EUC-JP Japanese": ("euc-jp", "赤い 青い みどり 大きい 小さい まち いえ よい わるい カメラ ラジオ"),
    "cp1255 Hebrew": ("cp1255", "אדום כחול ירוק גדול קטן עיר בית טוב רע מחיר"),
    "Latin-2 Polish": ("iso8859-2", "żółty gęś łódź mały duży zielony czerwony święto źródło piękny"),
}


def _shape(names: list[str], rows: int) -> str:
    return f"{rows} × {len(names)}: {', '.join(names[:3])}"


def _ours(path: Path) -> str:
    from modelgpt_cli.core.errors import ModelGPTError
    from modelgpt_cli.data.readers import open_table

    try:
        table = open_table(path)
        return _shape(table.columns, sum(len(frame) for frame in table.frames()))
    except ModelGPTError as error:
        return f"refused: {error.problem}"


def _duckdb(path: Path) -> str:
    import duckdb

    try:
        found = duckdb.sql(f"select * from read_csv('{path}')")
        return _shape(found.columns, len(found.fetchall()))
    except duckdb.Error as error:
        return f"refused: {str(error).splitlines()[0]}"


def compare_csv(folder: Path) -> None:
    """Print, as Markdown, what both find in each text table of a folder, where they differ."""
    logging.getLogger("modelgpt").setLevel(logging.ERROR)
    print("| file | ours | DuckDB |\n|---|---|---|")
    same = 0
    for path in sorted(folder.iterdir()):
        if path.suffix in (".csv", ".tsv", ".data", ".txt"):
            ours, theirs = _ours(path), _duckdb(path)
            same += ours == theirs
            if ours != theirs:
                print(f"| {path.name} | {ours[:90]} | {theirs[:90]} |")
    print(f"\n{same} more read alike.")


def _measured(work: Callable[[Path], object], path: Path) -> str:
    """Seconds and peak memory of some work in a process of its own."""
    results = multiprocessing.get_context("spawn").SimpleQueue()
    process = multiprocessing.get_context("spawn").Process(target=_measure, args=(work, path, results))
    process.start()
    process.join()
    return "failed" if results.empty() else results.get()


def _measure(work: Callable[[Path], object], path: Path, results: multiprocessing.SimpleQueue[str]) -> None:
    begin = time.perf_counter()
    found = work(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put(f"{found} | {time.perf_counter() - begin:.1f} | {peak:.0f}")


def read_ours(path: Path) -> int:
    """Stream all cells as text through our reader."""
    from modelgpt_cli.data.readers import open_table

    return sum(len(frame) for frame in open_table(path).frames())


def read_duckdb(path: Path) -> int:
    """Stream all cells as text out of DuckDB, as pandas frames, which is what the rest of the way takes."""
    import duckdb

    reader = duckdb.sql(f"select * from read_csv('{path}', all_varchar = true)").to_arrow_reader(65536)
    return sum(len(batch.to_pandas()) for batch in reader)


def read_calamine(path: Path) -> int:
    """Read a workbook with python-calamine, through our reader."""
    return read_ours(path)


def read_openpyxl(path: Path) -> int:
    """Read a workbook with openpyxl, as pandas does."""
    import pandas as pd

    return len(pd.read_excel(path, engine="openpyxl", header=None, dtype=object, keep_default_na=False)) - 1


@contextlib.contextmanager
def _file(suffix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / f"made{suffix}"


def measure_speed(rows: int) -> None:
    """Print seconds and peak memory on a made CSV of so many rows and five columns."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    rng = np.random.default_rng(0)
    with _file(".csv") as path:
        columns = {"id": pa.int64(), "a": pa.float64(), "b": pa.float64(), "k": pa.string(), "y": pa.string()}
        schema = pa.schema(columns)
        levels = np.array(["red", "green", "blue", "white"])
        with pacsv.CSVWriter(path, schema) as writer:
            for start in range(0, rows, 500_000):
                n = min(500_000, rows - start)
                numbers = [np.arange(start, start + n), rng.normal(size=n).round(4), rng.random(n).round(3)]
                texts = [levels[rng.integers(0, 4, n)], levels[rng.integers(0, 2, n)]]
                writer.write_table(pa.table([pa.array(cells) for cells in (*numbers, *texts)], schema=schema))
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB\n")
        print("| reader | rows | seconds | peak MB |\n|---|---|---|---|")
        for name, work in (("ours", read_ours), ("DuckDB", read_duckdb)):
            print(f"| {name} | {_measured(work, path)} |", flush=True)


def measure_sheets(rows: int) -> None:
    """Print seconds and peak memory on a made workbook of so many rows and ten columns."""
    from openpyxl import Workbook

    rng = np.random.default_rng(0)
    with _file(".xlsx") as path:
        book = Workbook(write_only=True)
        sheet = book.create_sheet("Data")
        sheet.append([f"c{j}" for j in range(10)])
        for _ in range(rows):
            sheet.append([*rng.normal(size=8).round(4).tolist(), "red", "yes"])
        book.save(path)
        print("| reader | rows | seconds | peak MB |\n|---|---|---|---|")
        for name, work in (("python-calamine", read_calamine), ("openpyxl through pandas", read_openpyxl)):
            print(f"| {name} | {_measured(work, path)} |", flush=True)


def compare_encodings(lines: int = 20, draws: int = 8) -> None:
    """Print how many of the drawn samples each decodes without a wrong letter."""
    from charset_normalizer import from_bytes

    from modelgpt_cli.data.encoding import read_facts

    logging.getLogger("modelgpt").setLevel(logging.ERROR)
    rng = random.Random(0)
    print(f"| encoding | ours, of {draws} | charset-normalizer alone |\n|---|---|---|")
    with _file(".csv") as path:
        for name, (encoding, text) in WORDS.items():
            words, right = text.split(), [0, 0]
            for _ in range(draws):
                rows = [f"{rng.random() * 100:.1f},{rng.choice(words)} {rng.choice(words)}\n" for _ in range(lines)]
                content = "amount,words\n" + "".join(rows)
                path.write_bytes(content.encode(encoding))
                best = from_bytes(content.encode(encoding)).best()
                right[0] += path.read_bytes().decode(read_facts(path, "it").encoding, "replace") == content
                right[1] += best is not None and str(best) == content
            print(f"| {name} | {right[0]} | {right[1]} |")


def main(arguments: list[str]) -> int:
    """Run one comparison."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks readers")
    parser.add_argument("what", choices=("csv", "speed", "sheets", "encodings"))
    parser.add_argument("folder", nargs="?", type=Path, help="of csv: the awkward files")
    parser.add_argument("--rows", type=int, help="of speed and sheets")
    given = parser.parse_args(arguments)
    if given.what == "csv":
        if given.folder is None:
            parser.error("csv needs a folder")
        compare_csv(given.folder)
    elif given.what == "speed":
        measure_speed(given.rows or 10_000_000)
    elif given.what == "sheets":
        measure_sheets(given.rows or 50_000)
    else:
        compare_encodings()
    return 0
