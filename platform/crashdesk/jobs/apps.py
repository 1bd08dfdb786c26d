from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "crashdesk.jobs"
    label = "jobs"

    def ready(self) -> None:
        """Each app that has long work declares it in its handlers.py."""
        autodiscover_modules("handlers")
