from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "crashdesk.demo"
    label = "demo"
