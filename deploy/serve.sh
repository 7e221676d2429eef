#!/bin/sh
# What the container runs. HOSTS: the names by which people reach the lab, with spaces between.
set -eu
mkdir -p /data/runs /data/classroom /data/training /data/own /data/cifar10
# HOSTS is a list of words.
# shellcheck disable=SC2086
exec python -m apr_core app --host 0.0.0.0 --name "${NAME:-localhost}" --hosts ${HOSTS:-}
