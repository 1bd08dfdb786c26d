from django.urls import path

from annotations.effort.api import ActivityView, EffortTableView, EffortView, TicketView

urlpatterns = [
    path("activity", ActivityView.as_view(), name="api-activity"),
    path("activity/ticket", TicketView.as_view(), name="api-activity-ticket"),
    path("effort", EffortView.as_view(), name="api-effort"),
    path("effort.csv", EffortTableView.as_view(), name="api-effort-table"),
]
