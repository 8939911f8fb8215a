# certstream in an image: no compiler, no root, hashes of everything that is installed.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/certstream
COPY requirements/run.txt requirements/run.txt
RUN /opt/certstream/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY certstream certstream
RUN /opt/certstream/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/certstream --create-home certstream
COPY --from=build /opt/certstream /opt/certstream
# The embedded journal is /var/lib/certstream/journal.db: keep it on a volume.
ENV PATH=/opt/certstream/bin:$PATH XDG_STATE_HOME=/var/lib PYTHONUNBUFFERED=1
WORKDIR /var/lib/certstream
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["certstream"]
CMD ["run"]
