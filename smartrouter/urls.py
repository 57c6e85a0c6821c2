"""Every address of the product. The /v1 ones are served by smartrouter.asgi without Django's middleware."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
]
