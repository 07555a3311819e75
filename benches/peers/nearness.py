"""Measures the accuracy of int8: prints the mean and the lowest cosine of each engine's embeddings to those in f32.

    python nearness.py WORK FILE.tsv [--model minilm] [--count 1000]

Embeddings are means of the last hidden states of the first sentences of FILE. The embeddings in f32 are ONNX Runtime's. Needs
the files that compare.py needs with --dtype int8.
"""

import argparse
import csv
import json
import os
import subprocess

import numpy as np
import onnxruntime as ort
import openvino as ov
from transformers import AutoTokenizer


def onnx(path):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    takes = {put.name: np.int32 if put.type == "tensor(int32)" else np.int64 for put in session.get_inputs()}
    return lambda inputs: session.run(None, {name: inputs[name].astype(kind) for name, kind in takes.items()})[0]


def openvino(path):
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: compiled({name: array.astype(np.int64) for name, array in inputs.items()})[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=os.path.abspath)
    parser.add_argument("sentences", metavar="FILE.tsv")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    with open(args.sentences, encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        sentences = [row["sentence1"] for row in rows][: args.count]
    model = f"{args.work}/{args.model}"
    tokenizer = AutoTokenizer.from_pretrained(model)
    read = [tokenizer(sentence, return_tensors="np", truncation=True, max_length=128) for sentence in sentences]

    def normalised(vectors):
        vectors = np.array(vectors)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embeddings(run):
        return normalised([run(inputs)[0].mean(0) for inputs in read])

    def own():
        packed = f"{model}.int8.safetensors"
        command = f"{args.work}/target/release/bertless"
        pack = [command, "pack", model, "-o", packed, "--dtype", "int8", "--force"]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
        embed = [command, "embed", "--model", packed, "--json", "-"]
        printed = subprocess.run(embed, check=True, capture_output=True, text=True, input="\n".join(sentences) + "\n")
        return normalised([json.loads(line)["embedding"] for line in printed.stdout.splitlines()])

    exact = embeddings(onnx(f"{model}.onnx"))
    for name, found in (
        ("bertless", own()),
        ("ort", embeddings(onnx(f"{model}.int8.onnx"))),
        ("ort-fused", embeddings(onnx(f"{model}.fused.int8.onnx"))),
        ("openvino", embeddings(openvino(f"{model}.int8.xml"))),
    ):
        cosines = (exact * found).sum(1)
        print(f"{name}: mean cosine {cosines.mean():.4f}, lowest {cosines.min():.4f}, of {len(cosines)} sentences")


main()
