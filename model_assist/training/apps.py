from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "model_assist.training"
    label = "training"
