#!/usr/bin/env bash
# One pre-training over several nodes. From the checkout, with two folders that all nodes see:
#   MDJPT_RUNS=/shared/runs MDJPT_STORE=/shared/store sbatch cluster/slurm/pretrain.sh jobs/runs/combined.yaml [--set a.b=c ...]
# Prepare first (jobs/prepare.py, one node). exec.workers is set to nodes x GPUs; train.episodes must be a multiple of it.
#SBATCH --job-name=mdjpt-pretrain
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=2
#SBATCH --mem=48G
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
set -euo pipefail
root="${SLURM_SUBMIT_DIR:?submit this with sbatch, from the checkout}"   # Slurm runs a copy of this file elsewhere
source "$root/cluster/slurm/job.sh"

run="${1:?a run file}"
shift
nodes="${SLURM_JOB_NUM_NODES:-1}"
each="${SLURM_GPUS_ON_NODE:-0}"
gpu=$([ "$each" -gt 0 ] && echo true || echo false)
each=$((each > 0 ? each : 1))
share=$(((${SLURM_CPUS_PER_TASK:-2} - 1) / each))   # one CPU of a node stays with Ray and the loader
share=$((share > 0 ? share : 1))
export MDJPT_HOSTS
MDJPT_HOSTS="$(scontrol show hostnames "${SLURM_JOB_NODELIST:-localhost}" | tr '\n' ' ')"

cd "$root"
# --cpus-per-task again: srun does not take it from sbatch
srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  "$python" cluster/slurm/node.py --job "$job" -- \
  "$python" jobs/pretrain.py "$run" --set "exec.runs=$MDJPT_RUNS" --set "exec.store=$MDJPT_STORE" \
  --set "exec.workers=$((nodes * each))" --set "exec.gpu=$gpu" \
  --set "exec.cpus_per_worker=$share" --set "exec.threads=$share" --set exec.progress=false "$@" &
stop() { touch "$job/stop"; }
run_to_the_end $! stop
