from django.apps import AppConfig


class CorporaConfig(AppConfig):
    name = "annotations.corpora"
    label = "corpora"
