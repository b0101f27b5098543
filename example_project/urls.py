"""Addresses of the example site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from example_project import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="organization_list"), name="home"),
    path("sign-in/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("organizations/", views.OrganizationListView.as_view(), name="organization_list"),
    # Before the organizations' own addresses: the OAuth callback lives here.
    path("organization/", include("infisical_azure.urls")),
    path(
        "organization/<slug:slug>/",
        views.OrganizationGeneralView.as_view(),
        name="organization_general",
    ),
    path(
        "organization/<slug:slug>/members/",
        views.OrganizationMembersView.as_view(),
        name="organization_members",
    ),
    path("admin/", admin.site.urls),
]
