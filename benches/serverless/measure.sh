#!/usr/bin/env bash
# Measures one function for run.sh: CORE=0 benches/serverless/measure.sh WORK TABLE ARGUMENTS.. ENGINE NAME DTYPE
#
# Runs on core CORE, or on all cores if CORE is not set. ARGUMENTS go to `bertless-serverless measure`.
set -euo pipefail
shopt -s extglob
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1 table=$2 arguments=("${@:3:$#-5}") engine=${*: -3:1} name=${*: -2:1} dtype=${*: -1}
[[ -z ${CORE:-} ]] || arguments+=(--core "$CORE")
cd "$work/serverless"

# A text of 32 tokens.
text="A moving and often very funny story about two old friends who meet again after many long years apart and slowly find out that very little has really changed."

folder=$work/sentiment/$name
[[ $name != minilm ]] || folder=$work/minilm
if [[ $engine == bertless ]]; then
    packed=$PWD/$name.$dtype.safetensors
    [[ -e $packed ]] || ./bertless pack "$folder" -o "$packed" --dtype "$dtype"
    evict=("$packed" "$PWD/bootstrap")
    arguments+=(--engine bertless --env "BERTLESS_MODEL=$packed")
    function=("$PWD/bootstrap")
else
    python=$work/venv/bin/python
    packages=$("$python" -c 'import numpy, os; print(os.path.dirname(os.path.dirname(numpy.__file__)))')
    standard=$("$python" -c 'import os; print(os.path.dirname(os.__file__))')
    onnx=$folder.onnx
    [[ $dtype != int8 ]] || onnx=$folder.int8.onnx
    evict=("$onnx" "$packages"/{onnxruntime,numpy,numpy.libs,tokenizers} "$standard"/!(site-packages))
    arguments+=(--engine "ONNX Runtime")
    function=("$python" "$here/peer.py" "$onnx" "$folder/tokenizer.json")
fi
./bertless-serverless measure --csv "$table.csv" --model "$name $dtype" --text "$text" \
    "${arguments[@]}" "${evict[@]/#/--evict=}" -- "${function[@]}"
