"""Quantises exports for the comparison in int8: python quantize.py MODEL.. [--calibrate FILE.tsv]. Run by setup.sh.

    MODEL.int8.onnx         ONNX Runtime's dynamic quantisation to 8 bits, with a scale for each channel of the weights
    MODEL.fused.int8.onnx   the same, after its optimiser for transformers has fused attention, GELU and norms
    MODEL.int8.xml, .bin    for OpenVINO: weights and activations quantised by NNCF, calibrated on sentences of FILE
"""

import argparse
import csv
import json
import os

SENTENCES = 300


def dynamic(source, target):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not os.path.exists(target):
        quantize_dynamic(
            source, target, per_channel=True, reduce_range=False, weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # the fused operators do not declare types
        )


def fused(model):
    from onnxruntime.transformers.optimizer import optimize_model

    if os.path.exists(f"{model}.fused.onnx"):
        return
    with open(f"{model}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    optimised = optimize_model(
        f"{model}.onnx", "bert", num_heads=config["num_attention_heads"], hidden_size=config["hidden_size"],
        opt_level=0, use_gpu=False,
    )
    counts = optimised.get_fused_operator_statistics()
    print(f"{model} fused:", {name: count for name, count in counts.items() if count})
    optimised.save_model_to_file(f"{model}.fused.onnx")


def calibrated(model, path):
    import nncf
    import openvino as ov
    from transformers import AutoTokenizer

    if os.path.exists(f"{model}.int8.xml"):
        return
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    tokenizer = AutoTokenizer.from_pretrained(model)
    names = ["input_ids", "attention_mask", "token_type_ids"]

    def feed(row):
        read = tokenizer(row["sentence1"], truncation=True, max_length=128, return_tensors="np")
        return {name: read[name].astype("int64") for name in names}

    dataset = nncf.Dataset(rows[:: len(rows) // SENTENCES][:SENTENCES], feed)
    quantised = nncf.quantize(
        ov.Core().read_model(f"{model}.onnx"), dataset, subset_size=SENTENCES, model_type=nncf.ModelType.TRANSFORMER,
    )
    ov.save_model(quantised, f"{model}.int8.xml", compress_to_fp16=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--calibrate", metavar="FILE.tsv")
    args = parser.parse_args()
    for model in args.models:
        dynamic(f"{model}.onnx", f"{model}.int8.onnx")
        fused(model)
        dynamic(f"{model}.fused.onnx", f"{model}.fused.int8.onnx")
        if args.calibrate:
            calibrated(model, args.calibrate)


main()
