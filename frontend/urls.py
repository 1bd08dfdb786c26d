from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from frontend import views
from frontend.api import LoopView

urlpatterns = [
    path("api/loop", LoopView.as_view(), name="loop"),
    path(
        "login",
        LoginView.as_view(template_name="frontend/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout", LogoutView.as_view(), name="logout"),
    path("", views.home, name="home"),
    path("cases", views.case_list, name="cases"),
    path("cases/<int:pk>", views.case_page, name="case"),
]
