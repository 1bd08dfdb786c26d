from django.apps import AppConfig


class CorpusAuditConfig(AppConfig):
    name = "annotations.corpus_audit"
    label = "corpus_audit"
    verbose_name = "corpus audits"
