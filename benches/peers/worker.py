"""Runs a Python engine behind the protocol of compare.py: python worker.py ENGINE MODEL THREADS [once]

ENGINE is ort, ort-fused, openvino or torch. PEER_DTYPE is the type to compute in. See compare.py for the protocol, and
quantize.py for the int8 files.
"""

import json
import os
import sys
import time

engine, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
dtype = os.environ.get("PEER_DTYPE", "f32")
os.environ["OMP_NUM_THREADS"] = str(threads)

import numpy as np

if engine in ("ort", "ort-fused"):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    file = ".".join([model, *(["fused"] if engine == "ort-fused" else []), *(["int8"] if dtype == "int8" else []), "onnx"])
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    takes = {put.name: np.int32 if put.type == "tensor(int32)" else np.int64 for put in session.get_inputs()}

    def run(inputs):
        return session.run(None, {name: inputs[name].astype(kind, copy=False) for name, kind in takes.items()})[0]

elif engine == "openvino":
    import openvino as ov

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bf16" else "f32",
    }
    compiled = ov.Core().compile_model(f"{model}.int8.xml" if dtype == "int8" else f"{model}.onnx", "CPU", settings)

    def run(inputs):
        return compiled(inputs)[0]

else:
    import torch
    from transformers import AutoModel

    torch.set_num_threads(threads)
    loaded = AutoModel.from_pretrained(model).eval()

    def run(inputs):
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
            return loaded(**tensors).last_hidden_state.numpy()


def feed(texts):
    """Converts a batch to the engine's inputs: ids padded to the longest text, a mask, and types."""
    longest = max(map(len, texts))
    ids = np.zeros((len(texts), longest), np.int64)
    mask = np.zeros((len(texts), longest), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return dict(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))


if sys.argv[4:] == ["once"]:
    run(feed([[101, 2023, 2003, 1037, 6251, 1012, 102]]))
    sys.exit()
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    batches = [feed(batch) for batch in request["batches"]]
    first = run(batches[0])
    times = []
    start = time.perf_counter()
    while not times or time.perf_counter() - start < request["seconds"]:
        begin = time.perf_counter()
        for batch in batches:
            run(batch)
        times.append((time.perf_counter() - begin) * 1e3)
    print(json.dumps({"ms": float(np.median(times)), "first": [float(x) for x in first[0, 0, :4]]}), flush=True)
