# One image for everything that SmartRouter consists of; docker-compose.yml says which command each container runs.

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /app
COPY requirements.txt ./
# Every requirement is pinned and has wheels: no compiler, and the same environment whenever it is built.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: -r requirements.txt \
 && /venv/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.11.13-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    SMARTROUTER_DATA=/data \
    HOST=0.0.0.0 \
    PORT=8000
# A fixed number, so that a host's folder can be given to it. The volume takes over owner and mode of the empty folder.
RUN groupadd --gid 10001 smartrouter \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin smartrouter \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data
WORKDIR /app
COPY --from=build /venv /venv
COPY manage.py ./
COPY providers providers
COPY channels channels
COPY billing billing
COPY routing routing
COPY templates templates
COPY smartrouter smartrouter
# The code belongs to root: what serves cannot change it. Compiled here, since nothing can be written later.
RUN python -m compileall -q /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
# gunicorn drains on SIGTERM.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
CMD ["gunicorn", "-c", "smartrouter/delivery/gunicorn.py"]
