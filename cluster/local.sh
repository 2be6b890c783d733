#!/usr/bin/env bash
# A Ray head on this machine for trying `ray job submit`: token on, loopback only, own temp dir; Ctrl-C ends it.
#   cluster/local.sh [port] [dashboard port]
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
port="${1:-6390}"
dashboard="${2:-8266}"
export RAY_AUTH_MODE=token
export PYTHONPATH=platform           # relative on purpose: the folder of whatever working directory a job was given
export PATH="$root/.venv/bin:$PATH"
[ -n "${RAY_AUTH_TOKEN:-}" ] || [ -f "$HOME/.ray/auth_token" ] || ray get-auth-token --generate >/dev/null
echo "submit with: ray job submit --address http://127.0.0.1:$dashboard --working-dir . -- python jobs/pretrain.py jobs/runs/demo_smoke.yaml"
exec ray start --head --block --node-ip-address=127.0.0.1 --port="$port" \
  --dashboard-host=127.0.0.1 --dashboard-port="$dashboard" --temp-dir="$(mktemp -d /tmp/mjl.XXXX)"
