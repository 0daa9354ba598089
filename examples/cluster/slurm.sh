#!/bin/bash
# Trains on the GPUs of several nodes: sbatch slurm.sh RECIPE VIDEOS RUN, with folders that all nodes see.
# The same line goes on with a run that was stopped.
#SBATCH --job-name=keras-actrec
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
set -euo pipefail
export KERAS_BACKEND=jax
export KERAS_DISTRIBUTION_NUM_PROCESSES=$SLURM_NTASKS
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export KERAS_DISTRIBUTION_JOB_ADDRESSES=$first:$((20000 + SLURM_JOB_ID % 10000))
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" bash -c 'KERAS_DISTRIBUTION_PROCESS_ID=$SLURM_PROCID exec keras-actrec "$@"' task \
    train "$1" --data "$2" --out "$3" --devices 4
