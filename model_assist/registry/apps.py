from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "model_assist.registry"
    label = "registry"
