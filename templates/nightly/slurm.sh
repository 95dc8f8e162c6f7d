#!/bin/bash
# anipipe every night, on a cluster with SLURM: save it as anipipe-nightly.sh, and submit it once with
#
#     sbatch anipipe-nightly.sh
#
# It begins at two, and first of all submits itself again, for the next night (02:00 has then just passed).
# `squeue -u $USER` shows what is to come, and `scancel` ends it.
#
# One job on one machine, with as many workers as it has processors. To spread the work over several machines
# instead, ask for a small job here and say `--executor dask` below: [cluster] in config.toml tells which workers.
#
#SBATCH --job-name=anipipe-nightly
#SBATCH --begin=02:00
#SBATCH --time=06:00:00
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
# For networks, take one # away from the next line:
##SBATCH --gres=gpu:1
#SBATCH --output=anipipe-nightly-%j.log
# SLURM's mail when the job fails; anipipe's exit status is 1 if anything did.
#SBATCH --mail-type=FAIL
# SIGTERM ten minutes before the time is up: what was finished is kept, and the report is written.
#SBATCH --signal=B:TERM@600

sbatch "$0"

# --until well before the job's time is over, so that nothing is begun that would be cut off. `exec`, so that the
# signal reaches anipipe. The whole path, so that no virtual environment has to be activated.
exec {{program}} {{arguments}} nightly --until 07:00 --jobs "$SLURM_CPUS_PER_TASK" {{roots}}
