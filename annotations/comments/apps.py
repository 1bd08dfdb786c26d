from django.apps import AppConfig


class CommentsConfig(AppConfig):
    name = "annotations.comments"
    label = "comments"
