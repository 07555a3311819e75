"""Function with ONNX Runtime in Python, for comparison with examples/lambda: python peer.py MODEL.onnx TOKENIZER.json

Receives events through Lambda's Runtime API. Like examples/lambda, it uses one thread for each 1,769 MB of memory, and makes one
prediction before its first call for an event.
"""

import http.client
import json
import os
import sys

# One thread for each 1,769 MB of memory, rounded.
threads = max(1, (int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) + 884) // 1769)

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

options = ort.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(sys.argv[2])
tokenizer.no_padding()
tokenizer.enable_truncation(512)
output = session.get_outputs()[0].name


def answer(text):
    encoding = tokenizer.encode(text)
    inputs = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    (rows,) = session.run(None, {name: np.array([ids], np.int64) for name, ids in inputs.items()})
    if output == "logits":
        weights = np.exp(rows[0] - rows[0].max())
        return {"scores": [float(score) for score in weights / weights.sum()], "n_tokens": len(encoding)}
    mean = rows[0].mean(axis=0)
    return {"embedding": [float(x) for x in mean / np.linalg.norm(mean)], "n_tokens": len(encoding)}


answer("An absolute delight.")
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
invocation = "/2018-06-01/runtime/invocation"
while True:
    connection.request("GET", f"{invocation}/next")
    event = connection.getresponse()
    request = event.headers["lambda-runtime-aws-request-id"]
    reply = json.dumps(answer(json.load(event)["text"]))
    connection.request("POST", f"{invocation}/{request}/response", reply)
    connection.getresponse().read()
