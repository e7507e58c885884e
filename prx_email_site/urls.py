"""Every address of the site. Signed-in is the rule (LoginRequiredMiddleware); what is open says so itself."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from prx_email_site import dashboard

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/", auth.PasswordChangeView.as_view(), name="password_change"),
    path("password/changed/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("health/live/", dashboard.live, name="health_live"),
    path("health/ready/", dashboard.ready, name="health_ready"),
    path("admin/", admin.site.urls),
    path("outbox/", include("outbox.urls")),
    path("", include("mailbox.urls")),
]
