# Functions for the scripts of this folder, which source this file: paths of programs and models, and the output of results.
# A program is built unless a variable names it: BERTLESS (the command), BERTLESS_BOOTSTRAP (the function of examples/lambda),
# BERTLESS_CLOUD_RUN (the service of examples/cloud-run), BERTLESS_PROBE (the program of probe.rs).
set -euo pipefail
stress=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$stress/../.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
minilm=.models/all-MiniLM-L6-v2
work=$(mktemp -d)
at_exit=()
failed=0

cleanup() {
    local code=$? command
    for command in "${at_exit[@]}"; do
        $command || true
    done
    rm -rf "$work"
    exit "$code"
}
trap cleanup EXIT

pass() {
    echo "PASS  $1"
}

fail() {
    echo "FAIL  $1"
    failed=1
}

# note TEXT: prints a measurement that is not checked.
note() {
    echo "      $1"
}

# check WHAT COMMAND..: prints PASS if the command succeeds, else FAIL and the end of its output.
check() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        pass "$what"
    else
        fail "$what"
        tail -n 5 <<< "$output" | cut -c 1-300
    fi
}

# Ends the script, with status 1 if a check has failed.
finish() {
    exit $failed
}

# needs TOOL PACKAGE: ends the script if the tool is missing.
needs() {
    command -v "$1" > /dev/null || { echo "FAIL  $1 is missing: apt-get install $2"; exit 1; }
}

# at_most X MAX: succeeds if X is at most MAX.
at_most() {
    awk -v x="$1" -v most="$2" 'BEGIN { exit !(x <= most) }'
}

# field KEY LINE: prints the value of KEY=value in a line.
field() {
    tr ' ' '\n' <<< "$2" | sed -n "s/^$1=//p"
}

# Sets `command` to the path of the command.
command_program() {
    command=${BERTLESS:-$target/release/bertless}
    [[ -n ${BERTLESS:-} ]] || cargo build --quiet --release --locked --features cli
}

# Sets `function` and `service` to the paths of the wrappers.
wrapper_programs() {
    local wrappers=$target/wrappers
    function=${BERTLESS_BOOTSTRAP:-$wrappers/release/bootstrap}
    service=${BERTLESS_CLOUD_RUN:-$wrappers/release/bertless-cloud-run}
    [[ -n ${BERTLESS_BOOTSTRAP:-} ]] ||
        cargo build --quiet --release --locked --manifest-path examples/lambda/Cargo.toml --target-dir "$wrappers"
    [[ -n ${BERTLESS_CLOUD_RUN:-} ]] ||
        cargo build --quiet --release --locked --manifest-path examples/cloud-run/Cargo.toml --target-dir "$wrappers"
}

# Sets `probe` to the path of the program of probe.rs.
probe_program() {
    probe=${BERTLESS_PROBE:-$target/release/examples/stress-probe}
    [[ -n ${BERTLESS_PROBE:-} ]] || cargo build --quiet --release --locked --features mmap --example stress-probe
}

# packed DTYPE: packs all-MiniLM-L6-v2 and prints the file's path. Needs `command_program`.
packed() {
    local file=$target/stress/minilm.$1.safetensors
    [[ -e $minilm/model.safetensors ]] || { echo "$minilm is missing: python3 fixtures/fetch_models.py" >&2; return 1; }
    if [[ ! -e $file || $command -nt $file ]]; then
        mkdir -p "$target/stress"
        "$command" pack "$minilm" -o "$file" --dtype "$1" --force > /dev/null 2>&1
    fi
    echo "$file"
}

# Prints the name of the processor, for the heading of a table.
processor() {
    sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1
}
