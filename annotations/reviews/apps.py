from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    name = "annotations.reviews"
    label = "reviews"
