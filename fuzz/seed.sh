#!/bin/sh
# Fills fuzz/corpus with the fixtures' own files, and with tables and events of each kind.
set -eu
cd "$(dirname "$0")"
models=../fixtures/models
for target in safetensors config tokenizer text packed tables events; do
    mkdir -p "corpus/$target"
done
seed() { # file, first byte, target, name
    { printf "\\$2"; cat "$1"; } > "corpus/$3/$4"
}
text() { # text with escapes, first byte, target, name
    { printf "\\$2"; printf "$1"; } > "corpus/$3/$4"
}
for model in bert-classify stored-f16; do
    weights=$models/$model/model.safetensors
    # The first eight bytes of a file are the length of its header. These headers are shorter than 64 KiB, so two bytes suffice.
    length=$(od -An -t u2 -N 2 "$weights" | tr -d ' ')
    { printf '\000'; tail -c +9 "$weights" | head -c "$length"; } > "corpus/safetensors/$model-header"
    seed "$weights" 001 safetensors "$model"
done
seed $models/sentence-max/config.json 000 config config
seed $models/sentence-max/modules.json 001 config modules
seed $models/sentence-max/1_Pooling/config.json 002 config pooling
seed $models/sentence-max/2_Dense/config.json 003 config dense
seed $models/sentence-max/sentence_bert_config.json 004 config limit
seed $models/sentence-old-keys/sentence_xlm-roberta_config.json 004 config limit-old
seed $models/sentence-prompts/config_sentence_transformers.json 005 config prompts
seed $models/sentence-truncated/config_sentence_transformers.json 005 config truncated
seed $models/sentence-max/tokenizer.json 000 tokenizer json
seed $models/bert-classify/vocab.txt 001 tokenizer vocabulary
seed $models/bert-classify/tokenizer_config.json 002 tokenizer config
head -c 300 $models/bert-tokens/reference.json > corpus/text/references
printf 'The quick brown fox, na\303\257ve \344\275\240\345\245\275 [MASK] unbelievable.' > corpus/text/scripts

text 'text\tlabel\nA fine film.\t1\nA "dull" one.\t0\n' 000 tables tsv
text '\357\273\277text\tlabel\r\na\t1\r\n\r\nb\t0' 000 tables tsv-crlf
text 'label,text\n1,"a, ""b""\nc"\n0,d\n' 001 tables csv
text 'text,label\na,"b\nc,d\n' 001 tables csv-unclosed
text '{"text": "a\\u00e9 \\ud83d\\ude00", "label": 3}\n\n{"label": ["x", 0.5, true], "text": "c"}\n' 002 tables jsonl
text '{"text": "\\ud83d", "label": null}\n' 002 tables jsonl-surrogate
text '[{"text": "a", "label": 1}]' 002 tables jsonl-array
text 'A fine film.\n\nA dull one.\r\n' 003 tables lines

for event in ../examples/lambda/events/*.json; do
    seed "$event" 000 events "lambda-$(basename "$event" .json)"
done
text '{"text": "a", "text_pair": "b"}' 003 events question
text '{"texts": ["a", ["a", "b"], {"question": "a", "context": "b"}, 1]}' 003 events questions
text '{"texts": ["PRIVATE words", {"PRIVATE words": 1}, {"text": ["PRIVATE words"]}]}' 003 events private
text '{"requestContext": {"http": "PRIVATE words"}, "httpMethod": ["PRIVATE words"]}' 000 events private-http
text '{"Records": [{"eventSource": "aws:sqs", "messageId": "PRIVATE words", "body": "{\\"PRIVATE words\\": 1}"}]}' 000 events private-sqs
text '{"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "{\\"Type\\": \\"Notification\\", \\"Message\\": \\"a\\"}"}]}' 000 events sns
text '{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}' 000 events scheduled
text '{"warmer": true, "concurrency": 3}' 000 events warmer
# The second byte selects the coding.
for coding in 0:gzip 1:zlib; do
    { printf '\002'; printf "\\00${coding%:*}"; python3 -c 'import gzip, sys, zlib
text = b"{\"texts\": [\"PRIVATE words\", \"a\"]}"
sys.stdout.buffer.write(gzip.compress(text, mtime=0) if sys.argv[1] == "gzip" else zlib.compress(text))' "${coding#*:}"; } \
        > "corpus/events/coded-${coding#*:}"
done
# The second byte selects the headers: 003 is the content type of a structured event, 371 are all attributes and a body of JSON, 372
# all attributes and a body of text.
text '\003\n{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"text": "a"}}' 001 events structured
text '\003\n{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "eyJ0ZXh0IjogImEifQ=="}' 001 events structured-base64
text '\371\n{"text": "a"}' 001 events binary
text '\372\nA fine film.' 001 events binary-text
text '\372PRIVATE words\nPRIVATE words' 001 events binary-private
text '\201PRIVATE-id\n{"text": "PRIVATE words"}' 001 events unwrapped
text '\001\n{"message": {"data": "eyJ0ZXh0IjogImEifQ==", "messageId": "1"}, "subscription": "s"}' 001 events push
# For `tokenizer`: each file of the reference folders, once alone and once with a tokenizer.json beside it.
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
