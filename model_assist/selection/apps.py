from django.apps import AppConfig


class SelectionConfig(AppConfig):
    name = "model_assist.selection"
    label = "selection"
