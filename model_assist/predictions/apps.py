from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "model_assist.predictions"
    label = "predictions"
