from django.urls import path

from crashdesk.accounts.api import MeView, TokenView

urlpatterns = [path("me", MeView.as_view()), path("token", TokenView.as_view())]
