#!/bin/bash
#SBATCH --job-name=laboratory
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=08:00:00
# sbatch docs/cluster/slurm.sh [target of dvc repro]: 8 workers of 4 trainings at once, in the project's folder, which every
# node must see. Runs out of time? Submit it again: what is finished is kept.
set -euo pipefail
source .venv/bin/activate

# The job's number keeps two jobs on one node from taking the same port.
port=$((20000 + SLURM_JOB_ID % 10000))
export LABORATORY_WORKERS=dask LABORATORY_ADDRESS="tcp://$(hostname):$port"
trap 'kill -KILL $(jobs -p) 2> /dev/null || true' EXIT # a worker asked to end beside its scheduler waits for it forever

python -m dask scheduler --port "$port" --no-dashboard &
srun python -m dask worker "$LABORATORY_ADDRESS" --no-nanny --no-dashboard --nthreads "$SLURM_CPUS_PER_TASK" &
python -c "from distributed import Client; Client('$LABORATORY_ADDRESS', timeout=300).wait_for_workers($SLURM_NTASKS, timeout=300)"
dvc repro "$@"
