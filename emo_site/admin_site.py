"""The admin site under the desk's name."""

from django.contrib import admin


class DeskAdminSite(admin.AdminSite):
    site_header = "EMO Desk"
    site_title = "EMO Desk"
    index_title = "Review desk"
    site_url = "/"
    # The lists need the width; the header and the index lead everywhere.
    enable_nav_sidebar = False
