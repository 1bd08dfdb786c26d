from django.apps import AppConfig


class EffortConfig(AppConfig):
    name = "annotations.effort"
    label = "effort"
