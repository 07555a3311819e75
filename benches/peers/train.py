"""Fine-tunes with PyTorch, by the settings of examples/recipes/sst2-teacher.toml, for comparison with bertless' training.

    python train.py MODEL TRAIN.tsv DEV.tsv --threads 2 [--steps 200] [--epochs 2] [--seed 1] [--bf16]

Prints the tokens/s of all steps (special tokens count, padding does not, as in bertless' log) and, without --steps, the
accuracy on the dev table. All settings are those of the recipe: AdamW without decay on biases and norms, warm-up and linear
decay, clipping, batches of texts of similar lengths.
"""

import argparse
import csv
import random
import time

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("train")
parser.add_argument("dev")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, help="stop after this many steps")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--bf16", action="store_true", help="products in bf16, by torch.autocast")
options = parser.parse_args()

BATCH, RATE, DECAY, WARMUP, CLIP, LONGEST = 32, 5e-5, 0.01, 0.1, 1.0, 128
# Number of batches whose texts are sorted by length together.
RUN = 50

torch.set_num_threads(options.threads)
torch.manual_seed(options.seed)
draw = random.Random(options.seed)
tokenizer = AutoTokenizer.from_pretrained(options.model)
model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2, dtype=torch.float32)


def read(file):
    with open(file, encoding="utf-8") as rows:
        table = csv.reader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(table)
        texts, labels = zip(*table)
    ids = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
    return list(zip(ids, map(int, labels)))


def batches(examples, shuffle=True):
    order = list(range(len(examples)))
    if shuffle:
        draw.shuffle(order)
    cut = []
    for start in range(0, len(order), RUN * BATCH):
        run = sorted(order[start : start + RUN * BATCH], key=lambda at: -len(examples[at][0]))
        cut += [run[at : at + BATCH] for at in range(0, len(run), BATCH)]
    if shuffle:
        draw.shuffle(cut)
    for batch in cut:
        longest = max(len(examples[at][0]) for at in batch)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, at in enumerate(batch):
            ids[row, : len(examples[at][0])] = torch.tensor(examples[at][0])
            mask[row, : len(examples[at][0])] = 1
        yield dict(input_ids=ids, attention_mask=mask, labels=torch.tensor([examples[at][1] for at in batch]))


def accuracy(examples):
    model.eval()
    with torch.inference_mode():
        right = sum(int((model(**batch).logits.argmax(-1) == batch["labels"]).sum()) for batch in batches(examples, False))
    model.train()
    return right / len(examples)


train, dev = read(options.train), read(options.dev)
named = list(model.named_parameters())
plain = lambda name: name.endswith("bias") or "LayerNorm" in name
optimizer = torch.optim.AdamW(
    [
        dict(params=[value for name, value in named if not plain(name)], weight_decay=DECAY),
        dict(params=[value for name, value in named if plain(name)], weight_decay=0.0),
    ],
    lr=RATE,
)
whole = options.epochs * -(-len(train) // BATCH)
warm = int(WARMUP * whole)
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: step / warm if step < warm else (whole - step) / (whole - warm)
)

model.train()
tokens = steps = 0
begin = time.perf_counter()
for _ in range(options.epochs):
    for batch in batches(train):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += int(batch["attention_mask"].sum())
        steps += 1
        if steps == options.steps:
            break
    if steps == options.steps:
        break
seconds = time.perf_counter() - begin
print(f"{steps} steps, {tokens} tokens in {seconds:.1f} s: {tokens / seconds:.0f} tokens/s")
if options.steps is None:
    print(f"accuracy {accuracy(dev):.4f}")
