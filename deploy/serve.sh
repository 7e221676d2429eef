#!/bin/sh
# What the container runs. HOSTS: the names by which people reach the lab, with spaces between.
set -eu
mkdir -p /data/runs /data/classroom /data/training /data/own /data/cifar10
set -- --server.address 0.0.0.0 --server.port 8501 --browser.serverAddress "${NAME:-localhost}"
for name in 127.0.0.1 localhost ${HOSTS:-}; do
    set -- "$@" --server.allowedHosts "$name"
done
exec streamlit run app.py "$@"
