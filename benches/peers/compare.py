"""Measures bertless and other engines in turn, on the same ids, and prints ratios.

    python compare.py WORK [--model minilm] [--threads 1] [--tokens 8,16,..] [--rounds 5] [--engines ort,rten,..]
    python compare.py WORK --dtype int8             bertless's packed int8 beside ONNX Runtime's and OpenVINO's
    python compare.py WORK --dtype bf16             bertless in bf16 beside OpenVINO
    python compare.py WORK --sentences FILE.tsv     1,000 sentences in batches of 32, sorted and as they come
    python compare.py WORK --cold                   spawn to exit of a process that embeds one short text

Each engine is a process that loads the model once and then answers requests: a line of JSON on its standard input with
`batches` (lists of texts, each a list of ids) and `seconds` (how long to repeat them), for which it prints `ms` (the
median of a repetition) and `first` (the first numbers of the first text's first row, which must agree between engines).
Only one engine runs at a time; a round asks each once, and a figure is the median over the rounds. Ratios are taken
within a round, so a machine whose speed drifts does not favour anyone.
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
# Those that compute in a type, beside bertless.
ENGINES = {
    "f32": ["openvino", "ort", "torch", "rten", "tract", "candle", "lattice"],
    "int8": ["ort", "ort-fused", "openvino"],
    "bf16": ["openvino"],
}
# It takes texts, not ids, so its numbers are those of other words.
TEXTS_ONLY = {"lattice"}
# How far the first numbers, which are about 0.2, may be from bertless's.
TOLERANCE = {"f32": 1e-3, "int8": 0.15, "bf16": 0.05}


def own_model(work, model, dtype):
    """Where bertless finds a model: in int8 in a file that it packs now."""
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
        return [f"{work}/target/release/peer-bertless", own_model(work, model, dtype), str(threads)]
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

    def ask(self, batches, seconds):
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
    """Milliseconds by engine, a list of rounds each; `batches_of` gives an engine's batches."""
    times = {engine.name: [] for engine in engines}
    firsts = {}
    for _ in range(rounds):
        for engine in engines:
            answer = engine.ask(batches_of(engine.name), seconds)
            times[engine.name].append(answer["ms"])
            firsts[engine.name] = answer["first"]
    own = firsts["bertless"]
    for name, first in firsts.items():
        if name not in TEXTS_ONLY and max(abs(a - b) for a, b in zip(own, first)) > tolerance:
            sys.exit(f"{name} computes something else: {first}, not {own}")
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
    """Batches of 32 real sentences, by length and as they come; engines that pad do so to each batch's longest."""
    from transformers import AutoTokenizer

    with open(args.sentences, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    column = next(name for name in ("sentence", "text", "sentence1") if name in rows[0])
    sentences = [row[column] for row in rows][: args.count]
    ids = AutoTokenizer.from_pretrained(f"{args.work}/{args.model}")(sentences, truncation=True, max_length=128)["input_ids"]
    header(f"{len(ids)} sentences", [engine.name for engine in engines])
    for label, order in (("sorted by length", sorted(ids, key=len)), ("as they come", ids)):
        batches = [order[at : at + 32] for at in range(0, len(order), 32)]
        times = measure(engines, lambda _: batches, args.rounds, args.seconds, TOLERANCE[args.dtype])
        report(label, times)


def cold(args, names):
    """From spawn to exit, page cache warm."""
    commands = {name: [*command(args.work, name, args.model, args.threads, args.dtype), "once"] for name in names}
    commands["bertless"] = [
        f"{args.work}/target/release/bertless", "embed", "--model", own_model(args.work, args.model, args.dtype),
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
    parser.add_argument("--engines", help="separated by commas; by default all that compute in the type")
    parser.add_argument("--sentences")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--cold", action="store_true")
    args = parser.parse_args()
    names = ["bertless", *(args.engines.split(",") if args.engines else ENGINES[args.dtype])]
    print(f"{args.model}, {args.dtype}, {args.threads} thread(s), {processor()}, {time.strftime('%Y-%m-%d')}; milliseconds,")
    print(f"and how many times bertless's; medians of {args.rounds} alternating rounds\n")
    if args.cold:
        cold(args, names)
        return
    engines = start(args.work, names, args.model, args.threads, args.dtype)
    (by_sentences if args.sentences else by_length)(args, engines)


main()
