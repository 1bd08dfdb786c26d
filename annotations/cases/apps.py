from django.apps import AppConfig


class CasesConfig(AppConfig):
    name = "annotations.cases"
    label = "cases"
