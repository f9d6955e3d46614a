# The service in a container: docker build -t commonspace .
#
#   docker run -p 8000:8000 -v "$PWD/served:/data" commonspace
#
# serves the collection /data/collection to who has a key of /data/keys.json, which is made by
#   commonspace keys add served/keys.json NAME
# Where the collection names its model by a path of another machine, add --model /data/model.
# The folder has to be writable by user 10001, unless the service is read-only; other options
# replace the last line: docker run ... commonspace /data/other --host 0.0.0.0 --read-only ...

FROM python:3.12-slim AS build
# Where there is no repository, nothing tells the version: docker build --build-arg VERSION=1.2.3
ARG VERSION=0.1.0.dev0
ENV SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/commonspace
ENV PATH=/opt/commonspace/bin:$PATH
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src ./src
# Torch without CUDA, which the service has no use for and which is gigabytes.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c constraints.txt ".[image,service]"

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin commonspace
COPY --from=build /opt/commonspace /opt/commonspace
ENV PATH=/opt/commonspace/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["commonspace", "serve"]
CMD ["/data/collection", "--host", "0.0.0.0", "--port", "8000", "--keys", "/data/keys.json"]
