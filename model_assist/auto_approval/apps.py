from django.apps import AppConfig


class AutoApprovalConfig(AppConfig):
    name = "model_assist.auto_approval"
    label = "auto_approval"
