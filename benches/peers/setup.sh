#!/usr/bin/env bash
# Sets up the folder WORK for the comparison (about 8 GB, most of it PyTorch). Running it again keeps what exists:
#   venv                           Python with ONNX Runtime, OpenVINO and PyTorch
#   minilm, minilm.onnx            all-MiniLM-L6-v2 as a Hugging Face folder, and its export
#   tinybert, bert-base, *.onnx    random weights at the shapes of TinyBERT 4L-312 and BERT-base, to measure speed only
#   *.int8.*, *.fused.*            exports that quantize.py has quantised, calibrated on sentences of BERTLESS_SHARED
#   target                         the Rust engines
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1
mkdir -p "$work"
work=$(cd "$work" && pwd)

[[ -d $work/venv ]] || python3 -m venv "$work/venv"
if ! cmp -s "$here/requirements.txt" "$work/venv/installed.txt"; then
    "$work/venv/bin/python" -m pip install --quiet -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$work/venv/installed.txt"
fi
if [[ ! -f $work/minilm/model.safetensors ]]; then
    "$work/venv/bin/python" "$here/../../fixtures/fetch_models.py"
    cp -r "$here/../../.models/all-MiniLM-L6-v2" "$work/minilm"
fi
(cd "$work" && "$work/venv/bin/python" "$here/export.py")
sentences=$(realpath "${BERTLESS_SHARED:-$here/../../../shared}")/data/stsb/train.tsv
if [[ -f $sentences ]]; then
    (cd "$work" && "$work/venv/bin/python" "$here/quantize.py" minilm tinybert --calibrate "$sentences")
else
    echo "OpenVINO's int8 model is not made: $sentences does not exist"
    (cd "$work" && "$work/venv/bin/python" "$here/quantize.py" minilm tinybert)
fi
export CARGO_TARGET_DIR=$work/target
cargo build --release --manifest-path "$here/rust/Cargo.toml"
cargo build --release --manifest-path "$here/../../Cargo.toml" --features cli --bin bertless
