"""Compares the entities of `bertless predict --json` with those of the pipeline of transformers.

    python tests/tagger.py MODEL TEXTS.txt ENTITIES.jsonl

Labels and places must be the same; scores may differ by 1e-4, which is what two arithmetics in f32 make of the logits of six
layers (1.6e-6 was seen).
"""

import json
import sys

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

TOLERANCE = 1e-4


def main(folder, texts, entities):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    find = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
    with open(texts, encoding="utf-8") as lines:
        texts = [line.rstrip("\n") for line in lines]
    with open(entities, encoding="utf-8") as lines:
        ours = [json.loads(line)["entities"] for line in lines]
    assert len(texts) == len(ours) > 100, (len(texts), len(ours))
    count, worst = 0, 0.0
    for text, found in zip(texts, ours):
        expected = find(text)
        places = lambda entities, label: [(entity[label], entity["start"], entity["end"]) for entity in entities]
        assert places(found, "label") == places(expected, "entity_group"), (text, found, expected)
        for one, other in zip(found, expected):
            worst = max(worst, abs(one["score"] - float(other["score"])))
        count += len(found)
    assert worst < TOLERANCE, worst
    # A model that finds nothing would agree with everything.
    assert count > len(texts), count
    print(f"{count} entities in {len(texts)} texts are the same; scores differ by {worst:.1e} at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
