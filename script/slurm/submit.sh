#!/usr/bin/env bash
# Plan a dataset and submit route -> apply -> caption -> score -> filter, each to begin once the one before is complete.
#   MODEL=… METAFILE=data/Metafile.json NNODES=4 bash script/slurm/submit.sh
# Flags go to the stages. What is done is not done again, so the same command goes on where a chain has ended.
#
#   RUN            folder of everything that is made (Output): Domain, routed, Caption, the plans, logs
#   NNODES, TP     nodes (1); GPUs of one rank (1)
#   GPUS_PER_NODE  8; 0 for machines without
#   NPROC, CPUS    ranks on a node (GPUS_PER_NODE / TP); CPUs of one rank (8)
#   ARRAY          so many jobs of NNODES nodes each instead of one; each starts, is preempted and requeued by itself.
#                  8%2: eight, two of them at a time
#   ROUTE          no: caption right away; what has no task is routed in the same pass
#   PLAN           the plan to caption; made if it is not there
#   REPLAN         yes: the Metafile has changed, so plan again what remains of it
#   SBATCH_OPTIONS further options of sbatch, such as "--partition=gpu --time=24:00:00"; sbatch's own variables
#                  (SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_TIMELIMIT, …) do as well
set -euo pipefail
source "$(command -p dirname "${BASH_SOURCE[0]}")/../python.sh"
exec "$PYTHON" -m MetaCaptioner.launch.slurm.submit "$@"
