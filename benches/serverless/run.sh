#!/usr/bin/env bash
# Measures the Lambda function and ONNX Runtime at Lambda's memory sizes: benches/serverless/run.sh [WORK] [--quick]
#
# Needs root, two cores and cgroups of version 1. Writes WORK/serverless/{lambda.csv,lambda.svg}, with --quick
# {quick.csv,quick.svg}. To continue after an interruption, run the same command again: it adds the missing rows to the table, if
# the table is of this processor. To measure anew, for example after a change of the function, remove the table.
#
#   BERTLESS_ONLY="tinybert minilm"   measure only these models
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
work=$root/.peers
table=lambda
thoroughly=(--starts 11 --requests 1000)
on_one_core=128,256,512,1024,1536,1769
on_two_cores=2048,3008
for argument; do
    case $argument in
        --quick)
            table=quick
            thoroughly=(--starts 3 --requests 60)
            on_one_core=256,1024
            on_two_cores=
            ;;
        -*)
            echo "$argument: unknown argument; see the first lines of $0"
            exit 2
            ;;
        *) work=$argument ;;
    esac
done
# The slowest models come first.
models=("mobilebert f32" "mobilebert int8" "bert-base int8" "minilm f32" "minilm int8" "tinybert f32" "tinybert int8")
for name in ${BERTLESS_ONLY:-}; do
    [[ " ${models[*]% *} " == *" $name "* ]] || { echo "BERTLESS_ONLY: $name is not one of ${models[*]% *}"; exit 2; }
done
work=$(realpath -m "$work")
python=$work/venv/bin/python
[[ -x $python && -e $work/minilm/model.safetensors ]] || "$root/benches/peers/setup.sh" "$work"
"$python" "$here/models.py" "$work"

# build FOLDER NAME [OPTION..]: builds a package, and copies its program NAME to WORK/serverless.
target=${CARGO_TARGET_DIR:-}
build() {
    cargo build --release --locked --manifest-path "$1/Cargo.toml" "${@:3}"
    cp "${target:-$1/target}/release/$2" "$work/serverless/"
}
mkdir -p "$work/serverless"
build "$root" bertless --features cli
build "$root/examples/lambda" bootstrap
build "$here" bertless-serverless

functions() {
    local engine model
    for engine in onnxruntime bertless; do
        for model in "${models[@]}"; do
            [[ " ${BERTLESS_ONLY:-${model% *}} " != *" ${model% *} "* ]] || echo "$engine $model"
        done
    done
}

# A function and the program that sends it events take turns, so one core is enough for both. Sizes of up to one core are measured
# two at a time, each on its own core. Sizes of more than one core are then measured one at a time.
measure=("$here/measure.sh" "$work" "$table" "${thoroughly[@]}" --memory)
failed=
functions | xargs -r -L 1 -P 2 --process-slot-var=CORE "${measure[@]}" "$on_one_core" || failed=yes
[[ -z $on_two_cores ]] || functions | xargs -r -L 1 "${measure[@]}" "$on_two_cores" || failed=yes
cd "$work/serverless"
./bertless-serverless draw $table.csv -o $table.svg
echo "$PWD: $table.csv, $table.svg"
[[ -z $failed ]] || { echo "some functions could not be measured: see their errors above"; exit 1; }
