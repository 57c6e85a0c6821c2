"""Worker side. What servers need beside the program itself: gunicorn's settings and worker, nginx's configuration.

gunicorn: the settings file. figures: what the settings depend on, found by a process of its own. master: what gunicorn's
master does differently. reload: SIGHUP. worker: its worker class. logs: its messages as ours. nginx.conf: the proxy of
docker-compose.yml.
"""
