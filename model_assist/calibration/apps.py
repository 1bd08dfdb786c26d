from django.apps import AppConfig


class CalibrationConfig(AppConfig):
    name = "model_assist.calibration"
    label = "calibration"
