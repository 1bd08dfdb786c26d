from django.apps import AppConfig


class SuspectsConfig(AppConfig):
    name = "model_assist.suspects"
    label = "suspects"
