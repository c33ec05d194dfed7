# Fathom's images: `docker build --target cpu .`, `docker build --target cuda .`
#
#   CPU_BASE, CUDA_BASE   any Debian or Ubuntu whose python3 is 3.11, 3.12 or 3.13
#   BAKE_MODEL=1          puts the embedded model in: such an image starts without a network
#   PIP_INDEX_URL, ...    pip's own settings, where packages come from a mirror
#
# pip looks into the build context `wheels` first: `--build-context wheels=FOLDER`. Without it torch's CPU build, which
# PyPI does not carry, comes from PyTorch's own index.
ARG CPU_BASE=debian:bookworm-slim
ARG CUDA_BASE=nvidia/cuda:13.0.2-base-ubuntu24.04

FROM scratch AS wheels


FROM ${CPU_BASE} AS cpu-system
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates python3 python3-venv libnuma1 libtcmalloc-minimal4 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home fathom && install -d -o fathom -g fathom /models


FROM cpu-system AS cpu-build
WORKDIR /src
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
COPY requirements requirements
RUN --mount=type=bind,from=wheels,target=/wheels \
    PIP_FIND_LINKS="/wheels $PIP_FIND_LINKS" PIP_NO_CACHE_DIR=1 \
    python3 requirements/install.py --device cpu --venv /opt/fathom --no-project
COPY pyproject.toml README.md LICENSE ./
COPY server server
RUN /opt/fathom/bin/pip install --no-deps --no-build-isolation .


FROM cpu-system AS cpu
COPY --from=cpu-build /opt/fathom /opt/fathom
ENV PATH=/opt/fathom/bin:$PATH FATHOM_HOME=/models FATHOM_HTTP__HOST=0.0.0.0 XDG_CACHE_HOME=/models/cache
USER 10001:10001
WORKDIR /home/fathom
ARG BAKE_MODEL
RUN if [ -n "$BAKE_MODEL" ]; then fathom pull; fi
VOLUME /models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/livez'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["fathom"]
CMD ["serve"]


# The wheels bring CUDA's libraries, the base the driver's hooks; Triton compiles a stub in C at run time.
FROM ${CUDA_BASE} AS cuda-system
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates python3 python3-venv python3-dev gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home fathom && install -d -o fathom -g fathom /models


FROM cuda-system AS cuda-build
WORKDIR /src
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
COPY requirements requirements
RUN --mount=type=bind,from=wheels,target=/wheels \
    PIP_FIND_LINKS="/wheels $PIP_FIND_LINKS" PIP_NO_CACHE_DIR=1 \
    python3 requirements/install.py --device cuda --venv /opt/fathom --no-project
COPY pyproject.toml README.md LICENSE ./
COPY server server
RUN /opt/fathom/bin/pip install --no-deps --no-build-isolation .


FROM cuda-system AS cuda
COPY --from=cuda-build /opt/fathom /opt/fathom
ENV PATH=/opt/fathom/bin:$PATH FATHOM_HOME=/models FATHOM_HTTP__HOST=0.0.0.0 XDG_CACHE_HOME=/models/cache
USER 10001:10001
WORKDIR /home/fathom
ARG BAKE_MODEL
RUN if [ -n "$BAKE_MODEL" ]; then fathom pull; fi
VOLUME /models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/livez'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["fathom"]
CMD ["serve"]
