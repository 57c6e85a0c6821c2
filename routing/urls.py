"""The addresses of the data plane; smartrouter.urls includes them, and the ASGI entry resolves against them alone."""

from django.urls import URLPattern, URLResolver, path

from routing.endpoints.chat import ChatCompletionsView
from routing.endpoints.generations import GenerationView
from routing.endpoints.health import health, ready
from routing.endpoints.key import KeyView
from routing.endpoints.models import ModelsView, ModelView
from routing.endpoints.route import RouteView

urlpatterns: list[URLPattern | URLResolver] = [
    path("health", health, name="health"),
    path("health/ready", ready, name="ready"),
    path("v1/chat/completions", ChatCompletionsView.as_view(), name="chat-completions"),
    path("v1/route", RouteView.as_view(), name="route"),
    path("v1/key", KeyView.as_view(), name="key"),
    path("v1/generations/<str:generation_id>", GenerationView.as_view(), name="generation"),
    path("v1/models", ModelsView.as_view(), name="models"),
    path("v1/models/<path:model_id>", ModelView.as_view(), name="model"),
]
