#!/usr/bin/env bash
# The function at Lambda's memory sizes, beside ONNX Runtime, in one command: benches/serverless/run.sh [WORK] [--quick]
#
# Needs root and cgroups of version 1. Makes WORK/serverless/{lambda.csv,lambda.svg}, with --quick {quick.csv,quick.svg}. What is
# broken off goes on with the same command: a table that is there is continued, if it is of this processor. Remove it to begin
# anew.
#
#   BERTLESS_ONLY="tinybert minilm"   these models alone
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
work=$root/.peers
quick=()
table=lambda
for argument; do
    case $argument in
        --quick)
            quick=(--memory 256,1024 --starts 3 --requests 60)
            table=quick
            ;;
        *) work=$argument ;;
    esac
done
work=$(realpath -m "$work")
python=$work/venv/bin/python
[[ -x $python && -e $work/minilm/model.safetensors ]] || "$root/benches/peers/setup.sh" "$work"
"$python" "$here/models.py" "$work"

# build MANIFEST NAME: builds, and says where the binary is.
target=${CARGO_TARGET_DIR:-}
build() {
    cargo build --release --locked --manifest-path "$1/Cargo.toml" "${@:3}"
    cp "${target:-$1/target}/release/$2" "$work/serverless/"
}
mkdir -p "$work/serverless"
build "$root" bertless --features cli
build "$root/examples/lambda" bootstrap
build "$here" bertless-serverless
cd "$work/serverless"

# 32 tokens.
text="A moving and often very funny story about two old friends who meet again after many long years apart and slowly find out that very little has really changed."

# measure ENGINE MODEL EVICTED.. -- ARGUMENTS
measure() {
    local engine=$1 model=$2 evict=()
    shift 2
    while [[ $1 != -- ]]; do
        evict+=(--evict "$1")
        shift
    done
    shift
    ./bertless-serverless measure --csv $table.csv --engine "$engine" --model "$model" --text "$text" \
        "${quick[@]}" "${evict[@]}" "$@"
}

packages=$("$python" -c 'import numpy, os; print(os.path.dirname(os.path.dirname(numpy.__file__)))')
standard=$("$python" -c 'import os; print(os.path.dirname(os.__file__))')
for model in "tinybert int8" "tinybert f32" "minilm int8" "minilm f32" "bert-base int8" "mobilebert int8" "mobilebert f32"; do
    read -r name dtype <<< "$model"
    [[ " ${BERTLESS_ONLY:-$name} " == *" $name "* ]] || continue
    folder=$work/sentiment/$name
    [[ $name != minilm ]] || folder=$work/minilm
    packed=$PWD/$name.$dtype.safetensors
    [[ -e $packed ]] || ./bertless pack "$folder" -o "$packed" --dtype "$dtype"
    measure bertless "$model" "$packed" "$PWD/bootstrap" -- --env "BERTLESS_MODEL=$packed" -- "$PWD/bootstrap"
    onnx=$folder.onnx
    [[ $dtype != int8 ]] || onnx=$folder.int8.onnx
    measure "ONNX Runtime" "$model" "$onnx" "$packages"/{onnxruntime,numpy,numpy.libs,tokenizers} "$standard" \
        -- -- "$python" "$here/peer.py" "$onnx" "$folder/tokenizer.json"
done
./bertless-serverless draw $table.csv -o $table.svg
echo "$PWD: $table.csv, $table.svg"
