# Sourced by the scripts of this folder: where programs and models are, and how a result is said. Programs are built where
# nobody names one: BERTLESS the command, BERTLESS_BOOTSTRAP the function of examples/lambda, BERTLESS_CLOUD_RUN the service
# of examples/cloud-run, BERTLESS_PROBE the program of probe.rs.
set -euo pipefail
stress=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$stress/../.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
minilm=.models/all-MiniLM-L6-v2
place=$(mktemp -d)
at_exit=()
failed=0

cleanup() {
    local code=$? command
    for command in "${at_exit[@]}"; do
        $command || true
    done
    rm -rf "$place"
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

# What a script measured, without a verdict.
note() {
    echo "      $1"
}

# check WHAT COMMAND..: PASS if the command succeeds. Its output is shown where it does not.
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

# At the end of a script.
finish() {
    exit $failed
}

# needs TOOL PACKAGE: ends the script where a tool is missing.
needs() {
    command -v "$1" > /dev/null || { echo "FAIL  $1 is missing: apt-get install $2"; exit 1; }
}

# Whether a number is at most another.
at_most() {
    awk -v x="$1" -v most="$2" 'BEGIN { exit !(x <= most) }'
}

# field KEY LINE: the value of key=value in a line.
field() {
    tr ' ' '\n' <<< "$2" | sed -n "s/^$1=//p"
}

command_program() {
    command=${BERTLESS:-$target/release/bertless}
    [[ -n ${BERTLESS:-} ]] || cargo build --quiet --release --locked --features cli
}

wrapper_programs() {
    local wrappers=$target/wrappers
    function=${BERTLESS_BOOTSTRAP:-$wrappers/release/bootstrap}
    service=${BERTLESS_CLOUD_RUN:-$wrappers/release/bertless-cloud-run}
    [[ -n ${BERTLESS_BOOTSTRAP:-} ]] ||
        cargo build --quiet --release --locked --manifest-path examples/lambda/Cargo.toml --target-dir "$wrappers"
    [[ -n ${BERTLESS_CLOUD_RUN:-} ]] ||
        cargo build --quiet --release --locked --manifest-path examples/cloud-run/Cargo.toml --target-dir "$wrappers"
}

probe_program() {
    probe=${BERTLESS_PROBE:-$target/release/examples/stress-probe}
    [[ -n ${BERTLESS_PROBE:-} ]] || cargo build --quiet --release --locked --features mmap --example stress-probe
}

# all-MiniLM-L6-v2, packed: packed DTYPE prints the file's path. Needs `command_program`.
packed() {
    local file=$target/stress/minilm.$1.safetensors
    [[ -e $minilm/model.safetensors ]] || { echo "$minilm is missing: python3 fixtures/fetch_models.py" >&2; return 1; }
    if [[ ! -e $file || $command -nt $file ]]; then
        mkdir -p "$target/stress"
        "$command" pack "$minilm" -o "$file" --dtype "$1" --force > /dev/null 2>&1
    fi
    echo "$file"
}

# The processor, for the head of a table.
processor() {
    sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1
}
