#!/bin/sh
# Fills fuzz/corpus with the fixtures' own files.
set -eu
cd "$(dirname "$0")"
models=../fixtures/models
mkdir -p corpus/safetensors corpus/config corpus/tokenizer corpus/text
cp $models/bert-classify/model.safetensors corpus/safetensors/classify
cp $models/stored-f16/model.safetensors corpus/safetensors/f16
seed() { # file, first byte, target, name
    { printf "\\$2"; cat "$1"; } > "corpus/$3/$4"
}
seed $models/sentence-max/config.json 000 config config
seed $models/sentence-max/modules.json 001 config modules
seed $models/sentence-max/1_Pooling/config.json 002 config pooling
seed $models/sentence-max/2_Dense/config.json 003 config dense
seed $models/sentence-old-keys/sentence_bert_config.json 004 config limit
seed $models/sentence-prompts/config_sentence_transformers.json 005 config prompts
seed $models/sentence-max/tokenizer.json 000 tokenizer json
seed $models/bert-classify/vocab.txt 001 tokenizer vocabulary
seed $models/bert-classify/tokenizer_config.json 002 tokenizer config
head -c 4000 $models/bert-tokens/reference.json > corpus/text/references
# `tokenizer`: what each folder of the references has, alone and beside a tokenizer.json.
python3 - ../fixtures/tokenizer/folders.json corpus/tokenizer << 'END'
import json, pathlib, sys

names = ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"]
reference = json.load(open(sys.argv[1]))
vocabulary = json.dumps({token: id for id, token in enumerate(reference["vocabulary"])})
for case in reference["cases"]:
    for name, text in case["files"].items():
        for bit in (0, 128):
            text = text.replace('"VOCABULARY"', vocabulary)
            path = pathlib.Path(sys.argv[2], f"{case['name']}-{names.index(name)}-{bit}")
            path.write_bytes(bytes([names.index(name) | bit]) + text.encode())
END
