"""Compares the tokenizer with Hugging Face's `tokenizers`: ids, type ids, character offsets, words, special mask.

    cargo build --release --example tokenize-parity
    python tests/parity/run.py --data FOLDER --vocabs FOLDER [--quick]

Texts are every line of every file in the data folder, every Unicode scalar value alone and inside `a?b`, and random
strings; settings are three vocabularies by lower-casing by `strip_accents`, as `vocab.txt` and as `tokenizer.json`.
Pairs, truncation and windows are compared on a sample. Exits with 1 at the first setting that differs, and shows how.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
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


def answers(binary, folder, requests):
    """What the crate says, a request at a time; a thread feeds it."""
    with tempfile.TemporaryFile() as given:
        for request in requests:
            given.write(json.dumps(request).encode() + b"\n")
        given.seek(0)
        with subprocess.Popen([binary, folder], stdin=given, stdout=subprocess.PIPE) as process:
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode != 0:
            sys.exit(f"{binary} ended with {process.returncode}")


def compare(name, binary, folder, tokenizer, requests):
    count = 0
    requests = list(requests)
    plain = all(second is None and limit is None for _, second, limit, *_ in requests)
    if plain:
        tokenizer.no_truncation()
        batches = (requests[i : i + 5000] for i in range(0, len(requests), 5000))
        encoded = (e for b in batches for e in tokenizer.encode_batch([r[0] for r in b]))
        wanted = (shown(e) for e in encoded)
    else:
        wanted = (expected(tokenizer, request) for request in requests)
    for request, want, got in itertools.zip_longest(requests, wanted, answers(binary, folder, requests)):
        if want != got:
            sys.exit(print(f"{name} differs on {request!r}:\n  expected {want}\n  got      {got}") or 1)
        count += 1
    print(f"{name}: {count} texts, no difference", flush=True)
    return count


def pairs(texts, seed):
    rng = random.Random(seed)
    for _ in range(20000):
        first, second = rng.choice(texts), rng.choice([None, *rng.choices(texts, k=3)])
        yield [first, second, rng.choice([None, 4, 5, 8, 13, 32, 64]), rng.choice(STRATEGIES), rng.choice([0, 0, 1, 3, 8])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of texts")
    parser.add_argument("--vocabs", type=Path, required=True, help="a folder of folders with vocab.txt")
    parser.add_argument("--binary", default=ROOT / "target/release/examples/tokenize-parity", help="the crate's side")
    parser.add_argument("--quick", action="store_true", help="one setting a vocabulary, and only part of the lines")
    args = parser.parse_args()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where the reference writes its panics

    if not Path(args.binary).is_file():
        sys.exit(print(f"{args.binary} is not there: cargo build --release --example tokenize-parity") or 1)
    lines = list(dict.fromkeys(lines_of(args.data)))
    strings = list(random_strings(100_000, seed=1))
    sample = random.Random(2).sample(lines, 5000) + strings[:3000]
    if args.quick:
        lines, strings = lines[::20], strings[:20_000]
    total = 0
    settings = list(itertools.product([True, False], [None, True, False]))
    for vocab in sorted(args.vocabs.glob("*/vocab.txt")):
        name = vocab.parent.name
        for index, (lower, accents) in enumerate(settings):
            template = ["template", "bert", "roberta"][index % 3]
            tokenizer = reference(vocab, lower, accents, template)
            with tempfile.TemporaryDirectory() as folder:
                if index % 2 and template == "template":
                    Path(folder, "vocab.txt").write_bytes(vocab.read_bytes())
                    config = dict(do_lower_case=lower, strip_accents=accents)
                    Path(folder, "tokenizer_config.json").write_text(json.dumps(config))
                else:
                    tokenizer.save(f"{folder}/tokenizer.json")
                title = f"{name}, lower {lower}, strip {accents}"
                check = lambda what, requests: compare(f"{title}, {what}", args.binary, folder, tokenizer, requests)
                single = lambda texts: ([text, None, None, "", 0] for text in texts)
                total += check("lines", single(lines))
                total += check("random strings", single(strings))
                if index in (0, 4) or not args.quick:
                    total += check("every scalar", single(scalars()))
                total += check("pairs and windows", pairs(sample, seed=index))
            if args.quick and index >= 1:
                break
        added = [
            AddedToken("new york", normalized=True),
            AddedToken("ÉCOLE", normalized=True, single_word=True),
            AddedToken("<x>", lstrip=True, normalized=False),
            AddedToken("<y>", rstrip=True, normalized=False),
        ]
        tokenizer = reference(vocab, True, None, "template", added)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(f"{folder}/tokenizer.json")
            rng = random.Random(3)
            words = ["new york", "New  York", "école", "ÉCOLES", " <x> ", "<y> ", "<y>", "[MASK]", "a", " ", ".", "é", "\t"]
            texts = ["".join(rng.choices(words, k=rng.randrange(8))) for _ in range(20_000)]
            requests = ([text, None, None, "", 0] for text in texts)
            total += compare(f"{name}, added tokens", args.binary, folder, tokenizer, requests)
    print(f"{total} comparisons in all, no difference")


if __name__ == "__main__":
    main()
