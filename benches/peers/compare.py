"""Measures bertless and other engines in turn, on the same token ids, and prints ratios.

    python compare.py WORK [--model minilm] [--threads 1] [--tokens 8,16,..] [--rounds 5] [--engines ort,rten,..]
    python compare.py WORK --dtype int8             bertless's packed int8 beside ONNX Runtime's and OpenVINO's
    python compare.py WORK --dtype bf16             bertless in bf16 beside OpenVINO
    python compare.py WORK --sentences FILE.tsv     1,000 sentences in batches of 32, sorted by length and in file order
    python compare.py WORK --cold                   time from spawn to exit of a process that embeds one short text

Each engine is a process that loads the model once and then answers requests. A request is a line of JSON on its standard
input with `batches` (lists of texts, each a list of ids) and `seconds` (how long to repeat the batches). The answer has `ms`
(the median time of a repetition) and `first` (the first numbers of the first text's first row, which must agree between
engines). Only one engine computes at a time. A round measures each engine once. The printed time is the median over the
rounds. A ratio compares times of the same round, so that a drift of the machine's speed does not favour an engine.
"""

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_ENGINES = ["openvino", "ort", "ort-fused", "torch"]
# Engines to compare with bertless, by the type that they compute in.
ENGINES = {
    "f32": ["openvino", "ort", "torch", "rten", "tract", "candle", "lattice"],
    "int8": ["ort", "ort-fused", "openvino"],
    "bf16": ["openvino"],
}
# Engines that read texts instead of ids, so that their rows are those of other words and cannot be compared.
TEXTS_ONLY = {"lattice"}
# Maximum difference of the first numbers, which are about 0.2, from bertless's.
TOLERANCE = {"f32": 1e-3, "int8": 0.15, "bf16": 0.05}


def bertless_model(work, model, dtype):
    """Returns the path of the model for bertless. For int8 packs the model into a file first."""
    if dtype != "int8":
        return model
    packed = f"{work}/{model}.int8.safetensors"
    pack = [f"{work}/target/release/bertless", "pack", f"{work}/{model}", "-o", packed, "--dtype", "int8", "--force"]
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    return packed


def command(work, engine, model, threads, dtype):
    if engine in PYTHON_ENGINES:
        return [f"{work}/venv/bin/python", f"{HERE}/worker.py", engine, model, str(threads)]
    if engine == "bertless":
        return [f"{work}/target/release/peer-bertless", bertless_model(work, model, dtype), str(threads)]
    return [f"{work}/target/release/{engine}", model, str(threads)]


def environment(threads, dtype):
    counts = {name: str(threads) for name in ("RAYON_NUM_THREADS", "RTEN_NUM_THREADS", "OMP_NUM_THREADS")}
    return {**os.environ, **counts, "PEER_DTYPE": dtype}


class Engine:
    def __init__(self, work, name, model, threads, dtype):
        self.name = name
        self.process = subprocess.Popen(
            command(work, name, model, threads, dtype), cwd=work, env=environment(threads, dtype), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        line = self.process.stdout.readline()
        if line.strip() != "ready":
            raise RuntimeError(f"{name} did not start")

    def request(self, batches, seconds):
        self.process.stdin.write(json.dumps({"batches": batches, "seconds": seconds}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} stopped")
        return json.loads(line)


def start(work, names, model, threads, dtype):
    engines = []
    for name in names:
        try:
            engines.append(Engine(work, name, model, threads, dtype))
        except (OSError, RuntimeError) as error:
            print(f"not measured: {name} ({error})", file=sys.stderr)
    if not engines or engines[0].name != "bertless":
        sys.exit(f"bertless does not compute in {dtype} here")
    return engines


def texts(batch, tokens):
    ids = random.Random(tokens)
    return [[101, *(ids.randrange(1000, 29000) for _ in range(tokens - 2)), 102] for _ in range(batch)]


def measure(engines, batches_of, rounds, seconds, tolerance):
    """Returns each engine's times in milliseconds, one for each round. `batches_of` returns the batches for an engine's name."""
    times = {engine.name: [] for engine in engines}
    firsts = {}
    for _ in range(rounds):
        for engine in engines:
            answer = engine.request(batches_of(engine.name), seconds)
            times[engine.name].append(answer["ms"])
            firsts[engine.name] = answer["first"]
    own = firsts["bertless"]
    for name, first in firsts.items():
        if name not in TEXTS_ONLY and max(abs(a - b) for a, b in zip(own, first)) > tolerance:
            sys.exit(f"{name} and bertless differ: {first}, {own}")
    return times


def report(label, times):
    own = times["bertless"]
    cells = []
    for name, theirs in times.items():
        ratio = statistics.median(a / b for a, b in zip(theirs, own))
        cells.append((name, statistics.median(theirs), ratio))
    best = min((cell for cell in cells if cell[0] != "bertless"), key=lambda cell: cell[2])
    row = [label] + [f"{ms:.3f} ({ratio:.2f}x)" if name != "bertless" else f"{ms:.3f}" for name, ms, ratio in cells]
    print("| " + " | ".join(row) + f" | {best[2]:.2f}x ({best[0]}) |", flush=True)
    return best[2]


def header(first, engines):
    print("| " + " | ".join([first, *engines, "best peer"]) + " |")
    print("|---" * (len(engines) + 2) + "|")


def by_length(args, engines):
    header("tokens", [engine.name for engine in engines])
    ratios = []
    for tokens in map(int, args.tokens.split(",")):
        batches = [texts(args.batch, tokens)]
        times = measure(engines, lambda _: batches, args.rounds, args.seconds, TOLERANCE[args.dtype])
        ratios.append(report(str(tokens), times))
    print(f"\ngeometric mean against the best peer at each length: {statistics.geometric_mean(ratios):.2f}x")


def by_sentences(args, engines):
    """Measures batches of 32 real sentences, sorted by length and in file order. Engines that pad fill up to the longest sentence
    of the batch.
    """
    from transformers import AutoTokenizer

    with open(args.sentences, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    column = next(name for name in ("sentence", "text", "sentence1") if name in rows[0])
    sentences = [row[column] for row in rows][: args.count]
    ids = AutoTokenizer.from_pretrained(f"{args.work}/{args.model}")(sentences, truncation=True, max_length=128)["input_ids"]
    header(f"{len(ids)} sentences", [engine.name for engine in engines])
    for label, order in (("sorted by length", sorted(ids, key=len)), ("in file order", ids)):
        batches = [order[at : at + 32] for at in range(0, len(order), 32)]
        times = measure(engines, lambda _: batches, args.rounds, args.seconds, TOLERANCE[args.dtype])
        report(label, times)


def cold(args, names):
    """Measures the time from spawn to exit of a process, with its files in the page cache."""
    commands = {name: [*command(args.work, name, args.model, args.threads, args.dtype), "once"] for name in names}
    commands["bertless"] = [
        f"{args.work}/target/release/bertless", "embed", "--model", bertless_model(args.work, args.model, args.dtype),
        "--dtype", args.dtype, "--threads", str(args.threads), "--json", "this is a sentence.",
    ]
    times = {name: [] for name in names}
    for round_ in range(args.rounds + 1):
        for name in names:
            begin = time.perf_counter()
            subprocess.run(
                commands[name], cwd=args.work, env=environment(args.threads, args.dtype), check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            if round_:
                times[name].append((time.perf_counter() - begin) * 1e3)
    header("", names)
    report("spawn to exit", times)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0]}, {len(names)} processors" if names else platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=os.path.abspath)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", default="8,16,32,64,128,256,512")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--dtype", choices=ENGINES, default="f32")
    parser.add_argument("--engines", help="engines, separated by commas; by default all that compute in the type")
    parser.add_argument("--sentences")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--cold", action="store_true")
    args = parser.parse_args()
    names = ["bertless", *(args.engines.split(",") if args.engines else ENGINES[args.dtype])]
    print(f"{args.model}, {args.dtype}, {args.threads} thread(s), {processor()}, {time.strftime('%Y-%m-%d')}; milliseconds,")
    print(f"and their ratio to bertless's; medians of {args.rounds} alternating rounds\n")
    if args.cold:
        cold(args, names)
        return
    engines = start(args.work, names, args.model, args.threads, args.dtype)
    (by_sentences if args.sentences else by_length)(args, engines)


main()
