"""Addresses under /alerts/."""

from django.urls import path

from alerts import views

app_name = "alerts"
urlpatterns = [
    path("", views.show, name="list"),
    path("endings/", views.show_endings, name="endings"),
    path("add/", views.add, name="add"),
    path("<int:pk>/", views.edit, name="edit"),
    path("<int:pk>/test/", views.test, name="test"),
    path("<int:pk>/delete/", views.delete, name="delete"),
]
