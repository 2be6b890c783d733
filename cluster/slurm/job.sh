# Sourced by pretrain.sh and study.sh: a private folder with a token, and what happens before the time is over.
# Needs $root (the checkout), MDJPT_RUNS and MDJPT_STORE.

: "${MDJPT_RUNS:?folder of results that every node sees (exec.runs)}"
: "${MDJPT_STORE:?folder or URI of prepared data that every node sees (exec.store)}"
: "${SLURM_JOB_ID:?submit this with sbatch}"
python="${MDJPT_PYTHON:-$root/.venv/bin/python}"
grace="${MDJPT_GRACE:-200}"   # seconds to wait for a checkpoint: less than --signal's, the rest is for ending
export PYTHONPATH="$root/platform:$root"

umask 077
mkdir -p "$MDJPT_RUNS"
job="$(mktemp -d "$MDJPT_RUNS/.slurm-$SLURM_JOB_ID.XXXXXX")"   # beside the checkpoints: one clock for both
trap 'rm -rf "$job"' EXIT
"$python" -c 'import secrets; print(secrets.token_hex(32), end="")' > "$job/token"   # 0600, of this job alone
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$job/token"

asked=""
trap 'asked=yes' USR1

# wait_for PID: wait, through signals; the exit code of PID
wait_for() {
  local code=0
  while :; do
    wait "$1" && code=0 || code=$?
    if kill -0 "$1" 2>/dev/null; then
      if [ -n "$asked" ]; then return 200; fi
    elif [ "$code" = 138 ]; then   # the signal came as it ended: its own code is still to be had
      asked=""
    else
      return "$code"
    fi
  done
}

# run_to_the_end PID STOP: PID's exit code. On USR1 one more checkpoint is waited for, STOP is called, the job goes back
# into the queue: its next start goes on at that checkpoint.
run_to_the_end() {
  local pid="$1" stop="$2" code=0
  wait_for "$pid" || code=$?
  if [ "$code" = 200 ] && [ -n "$asked" ]; then
    echo "time is nearly over: waiting up to $grace s for a checkpoint"
    touch "$job/asked"
    local until=$((SECONDS + grace))
    while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$until" ] &&
      [ -z "$(find "$MDJPT_RUNS" -maxdepth 3 -path '*/checkpoints/step-*.pt' -newer "$job/asked" -print -quit)" ]; do
      sleep 1
    done
    "$stop"
    asked=""
    code=0
    wait_for "$pid" || code=$?
    if [ "$code" != 0 ]; then   # else it came to its end meanwhile
      echo "stopped; back into the queue"
      scontrol requeue "$SLURM_JOB_ID"
      return 0
    fi
  fi
  return "$code"
}
