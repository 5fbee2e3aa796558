#!/usr/bin/env bash
# Install SLURM for the tests that are marked `slurm`, from Debian's packages. Safe to repeat. No daemon needs to run:
# the tests start their own.
set -euo pipefail
missing=()
for program in slurmctld slurmd munged sbatch; do
  PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "error: the tests of script/slurm need ${missing[*]}; as root on Debian or Ubuntu:" \
    "apt-get install slurmctld slurmd slurm-client munge" >&2
  exit 1
fi
echo "installing SLURM for the tests (a few seconds) ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
