from django.apps import AppConfig


class GoldConfig(AppConfig):
    name = "annotations.gold"
    label = "gold"

    def ready(self) -> None:
        """Let lists and pages of cases ask this room what a person may see."""
        from annotations.cases import sight
        from annotations.gold.sight import WorkersSight

        sight.use(WorkersSight)
