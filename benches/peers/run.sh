#!/usr/bin/env bash
# Compares bertless with other engines: benches/peers/run.sh [WORK] [options of compare.py]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${1:-$here/../../.peers}
shift || true
"$here/setup.sh" "$work"
exec "$work/venv/bin/python" "$here/compare.py" "$work" "$@"
