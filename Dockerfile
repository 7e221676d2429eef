# APR Lab in a container: `docker build -t apr-lab .`, or with `--build-arg DEVICE=gpu`.
# It runs as nobody in particular, on a file system that is read-only but for /data and /tmp:
# deploy/README.md has the command.
FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
# requirements-cluster.txt: with Ray, to score on a cluster.
ARG REQUIREMENTS=requirements.txt

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements.txt requirements-cluster.txt ./
# The CPU's builds of PyTorch lie on an index of their own, under versions that end in "+cpu".
RUN set -eu; \
    case "$DEVICE" in \
    cpu) sed -Ei 's/^(torch|torchvision)===([^ ]+)/\1===\2+cpu/' requirements.txt; \
         pip install -r "$REQUIREMENTS" --extra-index-url https://download.pytorch.org/whl/cpu ;; \
    gpu) pip install -r "$REQUIREMENTS" ;; \
    *)   echo "DEVICE is '$DEVICE', but must be cpu or gpu." >&2; exit 1 ;; \
    esac

COPY . .
# What people train for themselves lies beside the shipped checkpoints, and so must lead to /data.
RUN rm -rf checkpoints/own && ln -s /data/own checkpoints/own \
    && python -m compileall -q app.py apr_core apr_ui pages \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin lab \
    && mkdir /data && chown lab /data

USER lab
# Threads of OpenMP that spin while they wait take cores from the app's other threads.
ENV HOME=/tmp \
    OMP_WAIT_POLICY=passive \
    APR_RUNS=/data/runs \
    APR_CLASSROOM=/data/classroom \
    APR_TRAINING=/data/training \
    APR_DATA=/data/cifar10 \
    APR_WEIGHTS=/data/weights
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["deploy/serve.sh"]
