#!/usr/bin/env bash
# A study, one seed a task, each on a part of a node with a Ray of its own:
#   MDJPT_RUNS=/shared/runs MDJPT_STORE=/shared/store sbatch --array=0-4 cluster/slurm/study.sh jobs/runs/scaling_count.yaml
# and when all have ended, once: .venv/bin/python cluster/slurm/gather.py jobs/runs/scaling_count.yaml --set seeds=[0,1,2,3,4]
#
# One process runs a study at a time (its ledger is locked), so tasks cannot share one. Each task runs the study at one
# seed, which is a study with cells and ledger of its own; gather.py puts the cells into the ledger of the whole.
# Prepare first (jobs/prepare.py): tasks that prepare the same store would do it twice.
#SBATCH --job-name=mdjpt-study
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=24G
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.out
set -euo pipefail
root="${SLURM_SUBMIT_DIR:?submit this with sbatch, from the checkout}"   # Slurm runs a copy of this file elsewhere
source "$root/cluster/slurm/job.sh"

study="${1:?a study file}"
shift
seed="${SLURM_ARRAY_TASK_ID:?submit with --array=<seeds>}"
gpu=$([ "${SLURM_GPUS_ON_NODE:-0}" -gt 0 ] && echo true || echo false)

cd "$root"
# MLflow: off, since SQLite is not made for many nodes; `mdjpt study replay` sends it all afterwards. Or name a server.
"$python" jobs/study.py "$study" --set "seeds=[$seed]" --set "exec.runs=$MDJPT_RUNS" --set "exec.store=$MDJPT_STORE" \
  --set exec.workers=1 --set "exec.cpus=${SLURM_CPUS_PER_TASK:-1}" --set "exec.gpu=$gpu" --set exec.progress=false \
  --set "exec.mlflow=${MDJPT_MLFLOW:-off}" "$@" &
pid=$!
stop() { kill -TERM "$pid"; }
run_to_the_end "$pid" stop
