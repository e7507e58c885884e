"""URLs under /alerts/."""

from django.urls import path

from alerts import views, webhook_views

app_name = "alerts"
urlpatterns = [
    path("", views.show, name="list"),
    path("endings/", views.show_endings, name="endings"),
    path("add/", views.add, name="add"),
    path("webhooks/", webhook_views.show, name="webhooks"),
    path("webhooks/add/", webhook_views.add, name="webhook_add"),
    path("webhooks/<int:pk>/", webhook_views.edit, name="webhook"),
    path("webhooks/<int:pk>/test/", webhook_views.test, name="webhook_test"),
    path("webhooks/<int:pk>/again/", webhook_views.deliver_again, name="webhook_again"),
    path("webhooks/<int:pk>/delete/", webhook_views.delete, name="webhook_delete"),
    path("<int:pk>/", views.edit, name="edit"),
    path("<int:pk>/test/", views.test, name="test"),
    path("<int:pk>/delete/", views.delete, name="delete"),
]
