# The edge: proxy.py with routing, usage and edge. The collector is not in here (see collector/Dockerfile).
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app \
    PORT=8000 \
    TOLLWAY_DATA=/data \
    TOLLWAY_PROVIDERS=/app/providers.toml \
    TOLLWAY_MODULE=proxy

WORKDIR /app
COPY requirements/edge.txt requirements/edge.txt
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/edge.txt

COPY usage/ usage/
COPY routing/ routing/
COPY edge/ edge/
COPY proxy.py providers.toml ./
# Bytecode is made here, because the user who runs it may not write it: that is half of the cold start.
RUN python -m compileall -q . \
 && useradd --system --uid 10001 --no-create-home tollway \
 && install -d -o tollway -g tollway /data

# Also the `tollway` command of a shell in the machine. It gives /data to the user tollway and goes on as that user.
COPY --chmod=755 scripts/enter /usr/local/bin/tollway

# The journal: usage that the collector has not acknowledged yet. It must outlive the container.
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["tollway"]
CMD ["serve"]
