#!/bin/bash
# docs/cluster/ssh.sh HOST...: a Dask scheduler here and a worker on each host, until Ctrl-C. Every host must have the
# project's folder under the same path, and let you in without a password. A worker ends with the scheduler. Where somebody
# else has taken port 8786: PORT=8790 docs/cluster/ssh.sh HOST...
set -euo pipefail
address="tcp://$(hostname):${PORT:=8786}"

for host in "$@"; do
    ssh -n "$host" "cd '$PWD' && exec .venv/bin/python -m dask worker $address --no-nanny --no-dashboard --nthreads \$(nproc)" &
done
echo "export LABORATORY_WORKERS=dask LABORATORY_ADDRESS=$address"
exec .venv/bin/python -m dask scheduler --port "$PORT" --no-dashboard
