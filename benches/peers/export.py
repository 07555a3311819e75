"""Exports ./minilm to ONNX, and makes and exports models with random weights at other shapes. Run by setup.sh."""

import os
import shutil

import torch
from transformers import AutoModel, BertConfig, BertModel

SHAPES = {
    "tinybert": dict(num_hidden_layers=4, hidden_size=312, intermediate_size=1200, num_attention_heads=12),
    "bert-base": dict(),
}


class Encoder(torch.nn.Module):
    """Wrapper of a model that returns only the last hidden states."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return out.last_hidden_state


def export(name):
    if os.path.exists(f"{name}.onnx"):
        return
    model = AutoModel.from_pretrained(name, attn_implementation="eager").eval()
    ids = torch.tensor([[101, 7592, 2088, 102], [101, 7592, 102, 0]])
    mask = (ids > 0).long()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {key: {0: "batch", 1: "tokens"} for key in [*names, "last_hidden_state"]}
    with torch.no_grad():
        torch.onnx.export(
            Encoder(model), (ids, mask, torch.zeros_like(ids)), f"{name}.onnx",
            input_names=names, output_names=["last_hidden_state"], opset_version=17, dynamo=False, dynamic_axes=axes,
        )


for name, shape in SHAPES.items():
    if not os.path.exists(f"{name}/model.safetensors"):
        torch.manual_seed(0)
        BertModel(BertConfig(**shape)).save_pretrained(name)
        for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(f"minilm/{file}", name)
for name in ("minilm", *SHAPES):
    export(name)
