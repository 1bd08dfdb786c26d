from django.apps import AppConfig


class LabelStudioConfig(AppConfig):
    name = "annotations.labelstudio"
    label = "labelstudio"
