"""Reading ten thousand records and making tables of them: the CPU time and the memory of a process that does just that.

    pytest benchmarks/speed/test_records.py --import-mode=importlib -m ''

Look at ``cpu_seconds`` (below 5) and ``megabytes`` (below 300) among the extra information (``--benchmark-json``).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokzoo.records.schema import stored_id

MANY, SEEDS = 10_000, 5
SOURCE = Path(__file__).parents[2] / "tests" / "data" / "records" / "dd24ba7affc1d15b.json"
SCRIPT = """
import json, resource, sys, time
from pathlib import Path
from tokzoo.leaderboard.rows import build_tables
from tokzoo.records.store import RecordStore

records, problems = RecordStore(Path(sys.argv[1])).read()
read = time.process_time()
rows = sum(len(table.rows) for table in build_tables(records))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(json.dumps([len(records), len(problems), rows, read, time.process_time(), peak]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of recipes that differ in a value, with some seeds each; every number of every record is its own."""
    folder = tmp_path_factory.mktemp("records")
    data = json.loads(SOURCE.read_text(encoding="utf-8"))
    for number in range(MANY):
        recipe, seed = divmod(number, SEEDS)
        data["seed"] = seed
        data["recipe"] |= {"name": f"mine quantizer.codes={recipe}", "hash": f"{recipe:016x}"}
        data["recipe"]["content"]["quantizer"]["codes"] = recipe
        data["stages"] = dict.fromkeys(data["stages"], f"{number:032x}")
        for metric in data["metrics"].values():
            metric["value"] += 1e-3
        data["id"] = stored_id(data)
        (folder / f"{data['id']}.json").write_text(json.dumps(data, indent=2, ensure_ascii=False), encoding="utf-8")
    return folder


def test_read(benchmark, folder):
    command = [sys.executable, "-c", SCRIPT, str(folder)]

    def read():
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    records, problems, rows, seconds, together, megabytes = benchmark.pedantic(read, rounds=3)
    assert (records, problems, rows) == (MANY, 0, MANY // SEEDS)
    benchmark.extra_info |= {"cpu_seconds": seconds, "cpu_seconds_with_tables": together, "megabytes": megabytes}
