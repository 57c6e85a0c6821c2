"""The WSGI entry: the admin works under it; the /v1 endpoints answer 501 (see smartrouter.asgi)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
application = get_wsgi_application()
