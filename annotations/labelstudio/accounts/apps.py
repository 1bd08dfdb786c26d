from django.apps import AppConfig


class LabelStudioAccountsConfig(AppConfig):
    name = "annotations.labelstudio.accounts"
    label = "labelstudio_accounts"
