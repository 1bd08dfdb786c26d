from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "crashdesk.accounts"
    label = "accounts"
