from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "crashdesk.audit"
    label = "audit"
