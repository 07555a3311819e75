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
