"""Makes sentiment models with random weights at known shapes, and exports all models for ONNX Runtime: python models.py WORK

WORK is the folder that benches/peers/setup.sh has made.
"""

import os
import shutil
import sys

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    MobileBertConfig,
    MobileBertForSequenceClassification,
)

os.chdir(sys.argv[1])
LABELS = dict(id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1})
TINYBERT = dict(num_hidden_layers=4, hidden_size=312, intermediate_size=1200, num_attention_heads=12)
MODELS = {
    "tinybert": lambda: BertForSequenceClassification(BertConfig(**TINYBERT, **LABELS)),
    "mobilebert": lambda: MobileBertForSequenceClassification(MobileBertConfig(**LABELS)),
    "bert-base": lambda: BertForSequenceClassification(BertConfig(**LABELS)),
}


class First(torch.nn.Module):
    """Wrapper of a model that returns only its first output."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return out[0]


def export(model, path, output):
    if not os.path.exists(f"{path}.onnx"):
        ids = torch.tensor([[101, 7592, 2088, 102], [101, 7592, 102, 0]])
        mask = (ids > 0).long()
        names = ["input_ids", "attention_mask", "token_type_ids"]
        with torch.no_grad():
            torch.onnx.export(
                First(model().eval()), (ids, mask, torch.zeros_like(ids)), f"{path}.onnx",
                input_names=names, output_names=[output], opset_version=17, dynamo=False,
                dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*names, output] if name != "logits"},
            )
    if not os.path.exists(f"{path}.int8.onnx"):
        quantize_dynamic(f"{path}.onnx", f"{path}.int8.onnx", weight_type=QuantType.QInt8)


os.makedirs("sentiment", exist_ok=True)
for name, make in MODELS.items():
    folder = f"sentiment/{name}"
    if not os.path.exists(f"{folder}/tokenizer.json"):
        torch.manual_seed(0)
        make().save_pretrained(folder)
        for file in ("vocab.txt", "tokenizer_config.json", "tokenizer.json"):
            shutil.copy(f"minilm/{file}", folder)
    load = AutoModelForSequenceClassification.from_pretrained
    export(lambda: load(folder, attn_implementation="eager"), folder, "logits")
export(lambda: AutoModel.from_pretrained("minilm", attn_implementation="eager"), "minilm", "last_hidden_state")
