# The edge: proxy.py with routing, usage and edge. The collector is not in here (see collector/Dockerfile).
#   docker build -t tollway-edge .
# For a build that can be repeated, `scripts/image edge python:3.13-slim@sha256:…` refuses a base without its digest, labels the
# image with it, and says how a digest is found. A plain `docker build` takes the tag below, whatever that is today.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
COPY requirements/edge.txt requirements/edge.txt
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/edge.txt

FROM ${BASE}
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PORT=8000 \
    TOLLWAY_DATA=/data \
    TOLLWAY_PROVIDERS=/app/providers.toml \
    TOLLWAY_MODULE=proxy

WORKDIR /app
COPY --from=build /venv /venv
COPY usage/ usage/
COPY routing/ routing/
COPY edge/ edge/
COPY proxy.py providers.toml ./
# Also the `tollway` command of a shell in the machine. Started as root it gives /data to user 10001 and goes on as that user.
COPY --chmod=755 scripts/enter /usr/local/bin/tollway
# Bytecode is made here, because the user who runs it may not write it: that is half of the cold start.
RUN python -m compileall -q /app /venv/lib \
 && install -d -o 10001 -g 10001 /data

# The journal: usage that the collector has not acknowledged yet. It must outlive the container. Nothing else is written: the root
# may be read-only.
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 \
  CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["tollway"]
CMD ["serve"]
