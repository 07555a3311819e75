"""Compares the tokenizer with Hugging Face's `tokenizers`: ids, type ids, character offsets, words, special mask.

    cargo build --release --example tokenize-parity
    python tests/parity/run.py --data FOLDER --vocabs FOLDER [--quick]

Texts are every line of every file in the data folder, every Unicode scalar value alone and inside `a?b`, and random
strings; settings are three vocabularies by lower-casing by `strip_accents`, each read from `tokenizer.json` and from
`vocab.txt` with `tokenizer_config.json`. Pairs, truncation and windows are compared on a sample. Settings are compared
side by side, one a processor. Exits with 1 if any differs, and shows how.

With --quick each line and each scalar is compared once with each vocabulary, each time in another of the six settings, and
there are fewer random strings and pairs.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

ROOT = Path(__file__).parent.parent.parent
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
STRATEGIES = ["longest_first", "only_first", "only_second"]


def lines_of(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            # What is not UTF-8 cannot be given to either side.
            for line in path.read_bytes().split(b"\n"):
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError:
                    pass


def scalars():
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            yield chr(code)
            yield f"a{chr(code)}b"


def random_strings(count, seed):
    rng = random.Random(seed)
    pools = [
        [chr(c) for c in range(0x20, 0x7F)],
        [chr(c) for c in range(0xC0, 0x250)] + [chr(c) for c in range(0x300, 0x370)],
        [chr(c) for c in [*range(0x340, 0x346), *range(0xF71, 0xF85), *range(0x1D165, 0x1D173), 0x302E, 0x302F, 0x16FF0]],
        [chr(c) for c in [*range(0x1100, 0x1200, 7), *range(0xAC00, 0xD7A4, 97), *range(0x4E00, 0x9FFF, 499)]],
        [" ", "\t", "\n", "\u00a0", "\u3000", "\u200b", "\u2028", "\u0085", "\x00", "\ufffd", "\u0130", "\u0149"],
        SPECIALS + ["##", "[", "]", "[CLS", "mask", "<mask>", "</s>", " <s>"],
    ]
    for _ in range(count):
        pool = rng.choice([rng.choice(pools), sum(pools, []), None])
        size = rng.choice([1, 3, 10, 40, 130])
        yield "".join(
            rng.choice(pool) if pool else chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)]))
            for _ in range(rng.randrange(size + 1))
        )


def reference(vocab_file, lower, accents, template, added=()):
    vocab = {token.rstrip("\n"): i for i, token in enumerate(open(vocab_file, encoding="utf-8"))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=accents, lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.add_tokens(list(added))
    cls, sep = ("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])
    if template == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=False)
    elif template == "bert":
        tokenizer.post_processor = processors.BertProcessing(sep, cls)
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[cls, sep]
        )
    return tokenizer


def shown(encoding):
    one = lambda e: [e.ids, e.type_ids, [list(o) for o in e.offsets], e.word_ids, e.special_tokens_mask]
    return [one(e) for e in [encoding, *encoding.overflowing]]


def expected(tokenizer, request):
    first, second, max_length, strategy, stride = request
    try:
        if max_length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(max_length, strategy=strategy, stride=stride)
        return shown(tokenizer.encode(first, second))
    except BaseException as error:  # a panic of the reference is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def line(encodings):
    """As tests/parity/tokenize.rs writes it: lists as Python shows them, a `;` between windows."""
    one = lambda e: f"{e.ids}{e.type_ids}{e.offsets}{e.word_ids}{e.special_tokens_mask}"
    return ";".join(map(one, encodings))


def told(tokenizer, request):
    first, second, max_length, strategy, stride = request
    try:
        if max_length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(max_length, strategy=strategy, stride=stride)
        encoding = tokenizer.encode(first, second)
        return line([encoding, *encoding.overflowing])
    except BaseException as error:  # a panic of the reference is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return "None"


class Differs(Exception):
    pass


def compare(name, binary, folders, tokenizer, requests, given):
    """What the crate says from each of the folders, against the reference; `given` is a file of the requests."""
    started = []
    for folder in folders:
        command = [binary, folder]
        started.append(subprocess.Popen(command, stdin=open(given, "rb"), stdout=subprocess.PIPE, encoding="ascii"))
    if isinstance(requests[0], str):
        tokenizer.no_truncation()
        batches = (requests[i : i + 2000] for i in range(0, len(requests), 2000))
        wanted = (line([e]) for batch in batches for e in tokenizer.encode_batch(batch))
    else:
        wanted = (told(tokenizer, request) for request in requests)
    try:
        for request, want, *got in itertools.zip_longest(requests, wanted, *(process.stdout for process in started)):
            for folder, said in zip(folders, got):
                if said is None or want != said[:-1]:
                    way = "vocab.txt" if folder.endswith("vocab") else "tokenizer.json"
                    raise Differs(f"{name}, {way} differs on {request!r}:\n  expected {want}\n  got      {said}")
    finally:
        for process in started:
            process.stdout.close()
            process.wait()
    return len(requests) * len(folders)


def pairs(texts, seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        first, second = rng.choice(texts), rng.choice([None, *rng.choices(texts, k=3)])
        yield [first, second, rng.choice([None, 4, 5, 8, 13, 32, 64]), rng.choice(STRATEGIES), rng.choice([0, 0, 1, 3, 8])]


def added_tokens(vocab):
    """A tokenizer with added tokens of every kind, and texts full of them."""
    added = [
        AddedToken("new york", normalized=True),
        AddedToken("ÉCOLE", normalized=True, single_word=True),
        AddedToken("<x>", lstrip=True, normalized=False),
        AddedToken("<y>", rstrip=True, normalized=False),
    ]
    rng = random.Random(3)
    words = ["new york", "New  York", "école", "ÉCOLES", " <x> ", "<y> ", "<y>", "[MASK]", "a", " ", ".", "é", "\t"]
    texts = ["".join(rng.choices(words, k=rng.randrange(8))) for _ in range(20_000)]
    return reference(vocab, True, None, "template", added), texts


def write(path, requests):
    """Requests as the crate's side reads them; a text alone is a request without limits."""
    with open(path, "w", encoding="ascii") as file:
        for request in requests:
            request = [request, None, None, "", 0] if isinstance(request, str) else request
            file.write(json.dumps(request) + "\n")
    return path


SETTINGS = list(itertools.product([True, False], [None, True, False]))
# What all settings share: filled in once, and inherited by the processes that compare.
SHARED = {}


def setting(job):
    """One vocabulary in one setting, on all texts; gives how many comparisons, or what differs."""
    vocab, place, index = job
    lower, accents = SETTINGS[index]
    args, work = SHARED["args"], SHARED["work"]
    title = f"{vocab.parent.name}, lower {lower}, strip {accents}"
    begin, total = time.time(), 0
    try:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            ways = [f"{folder}/json", f"{folder}/vocab"]
            for way in ways:
                os.mkdir(way)
            Path(ways[1], "vocab.txt").write_bytes(vocab.read_bytes())
            config = dict(do_lower_case=lower, strip_accents=accents)
            Path(ways[1], "tokenizer_config.json").write_text(json.dumps(config))
            plain = reference(vocab, lower, accents, "template")
            plain.save(f"{ways[0]}/tokenizer.json")
            kinds = ["lines", "strings", "scalars"]
            if args.quick:
                kinds = [f"lines.{(index + place) % 6}", "strings", f"scalars.{(index + place) % 6}"]
            for what in kinds:
                total += compare(f"{title}, {what}", args.binary, ways, plain, *SHARED[what])
            requests = list(pairs(SHARED["sample"], index, 4000 if args.quick else 20_000))
            given = write(f"{folder}/pairs", requests)
            total += compare(f"{title}, pairs", args.binary, ways[1:], plain, requests, given)
            own = reference(vocab, lower, accents, ["template", "bert", "roberta"][index % 3])
            own.save(f"{ways[0]}/tokenizer.json")
            total += compare(f"{title}, pairs", args.binary, ways[:1], own, requests, given)
            if index == 0:
                tokenizer, texts = added_tokens(vocab)
                tokenizer.save(f"{ways[0]}/tokenizer.json")
                given = write(f"{folder}/added", texts)
                total += compare(f"{title}, added tokens", args.binary, ways[:1], tokenizer, texts, given)
    except Differs as difference:
        return title, None, str(difference)
    return title, total, f"{total} comparisons in {time.time() - begin:.0f} s, no difference"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of texts")
    parser.add_argument("--vocabs", type=Path, required=True, help="a folder of folders with vocab.txt")
    parser.add_argument("--binary", default=ROOT / "target/release/examples/tokenize-parity", help="the crate's side")
    parser.add_argument("--quick", action="store_true", help="a sixth of the combinations, fewer random strings and pairs")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for each processor
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where the reference writes its panics

    if not Path(args.binary).is_file():
        sys.exit(print(f"{args.binary} is not there: cargo build --release --example tokenize-parity") or 1)
    vocabs = sorted(args.vocabs.glob("*/vocab.txt"))
    lines = list(dict.fromkeys(lines_of(args.data)))
    strings = list(random_strings(100_000, seed=1))
    if args.quick and len(vocabs) != 3:
        sys.exit(print("--quick shares out settings among three vocabularies") or 1)
    if not vocabs or not lines:
        sys.exit(print("there are no vocabularies, or no texts") or 1)
    with tempfile.TemporaryDirectory() as work:
        sample = random.Random(2).sample(lines, min(5000, len(lines))) + strings[:3000]
        SHARED.update(args=args, work=work, sample=sample)
        every = list(scalars())
        texts = {"lines": lines, "strings": strings[:20_000] if args.quick else strings, "scalars": every}
        if args.quick:
            del texts["lines"], texts["scalars"]
            for part in range(6):
                texts[f"lines.{part}"] = lines[part::6]
                # Pairs of texts: a scalar alone, and inside.
                texts[f"scalars.{part}"] = [text for i in range(2 * part, len(every), 12) for text in every[i : i + 2]]
        for what, chosen in texts.items():
            SHARED[what] = (chosen, write(f"{work}/{what}", chosen))
        jobs = [(vocab, place, index) for place, vocab in enumerate(vocabs) for index in range(len(SETTINGS))]
        total, differ = 0, 0
        processes = min(os.cpu_count() or 1, len(jobs))
        with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
            for title, count, said in pool.imap_unordered(setting, jobs, chunksize=1):
                print(said if count is None else f"{title}: {said}", flush=True)
                total, differ = total + (count or 0), differ + (count is None)
    if differ:
        sys.exit(print(f"{differ} settings differ") or 1)
    print(f"{total} comparisons in all ({len(lines)} lines, {len(jobs)} settings, two ways in), no difference")


if __name__ == "__main__":
    main()
