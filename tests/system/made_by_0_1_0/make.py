"""How the output directories here were made: ``python make.py TARGET``, with caf 0.1.0 (commit 74ffbe2).

Each was made below ``/data/experiment``, so that no path of a real machine is in it, and is kept as one JSON
file: the checkpoint as SQL, and the content of every file. Names of host and processes are replaced.
"""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import psutil

PLACE = Path("/data/experiment")
TIME = 1_700_000_000
HERE = Path(__file__).parent
CASES = {
    "finished": (),
    "dependent": ("two",),
    "collecting": ("hold-2",),
    "algorithms": ("hold-run-2", "by-run"),
}


def make(name, marks):
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copy(HERE / "calibration.py", place)
    for number in (1, 2, 3):
        (place / f"d_{number}.txt").write_text(f"{number}\n")
        os.utime(place / f"d_{number}.txt", (TIME, TIME))
    for mark in marks:
        (place / mark).touch()
    caf = [Path(sys.executable).with_name("caf"), "run", "-q", "--processes", "3", "calibration.py"]
    process = subprocess.Popen(caf, cwd=place)
    if any(mark.startswith("hold") for mark in marks):
        wait_for(place / "out", marks[0])
        resident = json.loads((place / "out/.caf/resident/resident.json").read_text())
        process.kill()
        resident = psutil.Process(resident["pid"])
        for one in [resident, *resident.children(recursive=True)]:
            one.kill()
    process.wait()
    for mark in marks:
        if mark.startswith("hold"):
            (place / mark).unlink()
    return place


def wait_for(out, mark):
    """Until the checkpoint knows all ends but the one that is held up."""
    query = (
        "SELECT count(*) = 2 FROM task WHERE state = 'completed'"
        if mark == "hold-2"
        else "SELECT count(*) = 1 FROM execution"
    )
    while True:
        time.sleep(0.2)
        try:
            with closing(sqlite3.connect(out / "caf_state.db")) as db:
                if db.execute(query).fetchone()[0]:
                    return
        except sqlite3.OperationalError:
            continue


def keep(place, target):
    with closing(sqlite3.connect(place / "out/caf_state.db")) as db:
        db.execute("UPDATE process SET host = 'node', pid = 1")
        db.execute("UPDATE task SET host = 'node' WHERE host != ''")
        db.execute("UPDATE attempt SET host = 'node' WHERE host != ''")
        db.commit()
        checkpoint = "\n".join(db.iterdump())
    files = {}
    for path in sorted(place.rglob("*")):
        if path.suffix == ".jsonl" or path.name in ("call.json", "job.json") or path.parent.name == "records":
            scrub(path)
        if path.is_file() and ".caf" not in path.parts and not path.name.startswith("caf_state.db"):
            files[str(path.relative_to(place))] = kept(path)
    content = {"place": str(place), "python": sys.version_info[:2], "checkpoint": checkpoint}
    target.write_text(json.dumps({**content, "files": files}, indent=0) + "\n")


def scrub(path):
    """Take what names the machine out of a JSON file, or one with a JSON value a line and its index."""
    texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    values = [scrubbed(json.loads(text)) for text in texts]
    lines = [json.dumps(value, separators=(",", ":")) + "\n" for value in values]
    path.write_text("".join(lines) if path.suffix == ".jsonl" else lines[0].rstrip())
    if path.with_suffix(".idx").exists():
        offsets = accumulate([0, *map(len, lines[:-1])])
        path.with_suffix(".idx").write_text("".join(f"{offset:020}\n" for offset in offsets))


def scrubbed(value):
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: scrubbed(item) for key, item in value.items()}
    if "path" in value:
        value["path"] = [folder for folder in value["path"] if folder.startswith(str(PLACE))]
    return {**value, **{key: new for key, new in {"host": "node", "pid": 1}.items() if key in value}}


def kept(path):
    """The content of a file: text, or base64 in a list."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return [base64.b64encode(path.read_bytes()).decode()]


for case, given in CASES.items():
    keep(make(case, given), Path(sys.argv[1]) / f"{case}.json")
