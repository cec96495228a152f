# The image of the Flex Template launcher, the Dataflow worker and the services. docs/container.md describes it.
#
# Base images are pinned by version and by digest. The digests are build arguments without a default, so that a build
# without them fails. All Python packages are pinned by hash in requirements.worker.lock, including torch and the CUDA
# runtime, so that the image contains the libraries with which the embeddings were verified.
ARG PYTHON_DIGEST
ARG BEAM_DIGEST
ARG LAUNCHER_DIGEST
ARG CUDA_DIGEST

# Specs and weights of the user's own. They are empty unless a build context has their name; `make image` passes the
# folders SPECS and WEIGHTS as such.
FROM scratch AS specs

FROM scratch AS weights

FROM apache/beam_python3.11_sdk:2.77.0@${BEAM_DIGEST} AS beam

FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00@${LAUNCHER_DIGEST} AS launcher

# Only the libcuda of NVIDIA's compatibility package is taken from it.
FROM nvidia/cuda:13.0.3-base-ubuntu24.04@${CUDA_DIGEST} AS compat

FROM python:3.11.14-slim-bookworm@${PYTHON_DIGEST} AS base
ENV DO_NOT_TRACK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

FROM base AS build
# Beam's boot program expects the minor version of Python in Beam's image. The build fails if this file does not exist.
COPY --from=beam /usr/local/bin/python3.11 /tmp/python-of-beam
WORKDIR /src
COPY requirements.worker.lock ./
RUN python -m pip install --no-build-isolation --require-hashes --requirement requirements.worker.lock
COPY pyproject.toml README.md LICENSE ./
COPY sql sql
COPY encoders encoders
COPY pipelines pipelines
COPY rawless rawless
RUN python -m pip install --no-build-isolation --no-deps . && python -m pip check
# Takes specs and weights from the folders above, and other weights from the hub, only here. Fails unless every file has
# the digest in the sealed spec and the encoder reproduces its golden probe.
ARG ENCODERS="minilm@1.0.0"
RUN --mount=type=bind,from=specs,target=/specs --mount=type=bind,from=weights,target=/weights \
    RAWLESS_SPECS=/specs RAWLESS_WEIGHTS=/weights RAWLESS_HUB=1 \
    HF_HOME=/tmp/hub TORCH_HOME=/tmp/hub XDG_CACHE_HOME=/tmp/hub \
    rawless encoder bake --into /opt/rawless ${ENCODERS}

# The CPU variant. It contains the CUDA libraries unused, because the lock file has only the build of torch with CUDA.
FROM base AS cpu
COPY --from=build /usr/local /usr/local
COPY --from=build /opt/rawless /opt/rawless
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY terraform/template /template
# No hub, no telemetry and no cache at run time. Beam's boot program runs the Python of this image and installs nothing.
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/launch.py \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp \
    RAWLESS_CACHE=off \
    RAWLESS_HOME=/tmp/rawless \
    RAWLESS_HUB=0 \
    RAWLESS_SPECS=/opt/rawless/specs \
    RAWLESS_WEIGHTS=/opt/rawless/weights \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    TRANSFORMERS_OFFLINE=1
# Runs as root, because Dataflow's boot program writes where only root may. The services below do not.
ENTRYPOINT ["/opt/apache/beam/boot"]

# The services: `rawless serve` with the same files, as a user without privileges.
FROM cpu AS service
USER 65532:65532
ENTRYPOINT ["rawless", "serve"]
CMD ["--help"]

# The CUDA variant. It is last, so that it is the default target. Dataflow mounts the driver below /usr/local/nvidia; if it
# is too old for torch, the start program puts the libcuda of NVIDIA's compatibility package first.
FROM cpu AS cuda
COPY --from=compat /usr/local/cuda-13.0/compat /usr/local/cuda/compat
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    PATH=/usr/local/nvidia/bin:$PATH
ENTRYPOINT ["/template/cuda.sh", "/opt/apache/beam/boot"]
