#!/usr/bin/env bash
# Eighty clients at once, each with a text of 512 tokens, at the service of examples/cloud-run in 512 MB: none may fail, and
# memory may not grow after the first round. all-MiniLM-L6-v2 packed in int8; its limit of 256 tokens is raised to the 512 that
# its positions reach. Needs root, control groups of version 1 and Python 3. Takes a minute.
#
#   BERTLESS, BERTLESS_CLOUD_RUN   programs that are built already: the command, the service
#   ROUNDS=20   CLIENTS=80   PROCESSORS=1   what Cloud Run would grant; -1 is no limit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

minilm=.models/all-MiniLM-L6-v2
group=bertless-load-$$
memory=/sys/fs/cgroup/memory/$group
cpu=/sys/fs/cgroup/cpu/$group
[[ -d /sys/fs/cgroup/memory && -d /sys/fs/cgroup/cpu && $(id -u) == 0 ]] || {
    echo "not run: this needs root and control groups of version 1"
    exit 1
}
[[ -e $minilm/model.safetensors ]] || { echo "$minilm is missing: python3 fixtures/fetch_models.py"; exit 1; }

place=$(mktemp -d)
cleanup() {
    rm -rf "$place"
    rmdir "$memory" "$cpu" 2> /dev/null || true
}
trap cleanup EXIT

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
command=${BERTLESS:-$target/release/bertless}
service=${BERTLESS_CLOUD_RUN:-$target/wrappers/release/bertless-cloud-run}
[[ -n ${BERTLESS:-} ]] || cargo build --quiet --release --locked --features cli
[[ -n ${BERTLESS_CLOUD_RUN:-} ]] ||
    cargo build --quiet --release --locked --manifest-path examples/cloud-run/Cargo.toml --target-dir "$target/wrappers"

cp -rL "$minilm" "$place/model"
sed -i 's/"max_seq_length": [0-9]*/"max_seq_length": 512/' "$place/model/sentence_bert_config.json"
"$command" pack "$place/model" -o "$place/minilm.safetensors" --dtype int8 > /dev/null

mkdir "$memory" "$cpu"
echo $((512 << 20)) > "$memory/memory.limit_in_bytes"
processors=${PROCESSORS:-1}
echo 100000 > "$cpu/cpu.cfs_period_us"
[[ $processors == -1 ]] || echo $((processors * 100000)) > "$cpu/cpu.cfs_quota_us"

python3 tests/stress/cloud_run_load.py "$service" "$place/minilm.safetensors" "$place/model/vocab.txt" \
    --groups "$memory" "$cpu" --rounds "${ROUNDS:-20}" --clients "${CLIENTS:-80}"
