from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from crashdesk.accounts.models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ["username", "email", "role", "is_active", "last_login"]
    list_filter = ["role", "is_active"]
    fieldsets = [*(DjangoUserAdmin.fieldsets or []), ("CrashDesk", {"fields": ["role"]})]
    add_fieldsets = [*DjangoUserAdmin.add_fieldsets, ("CrashDesk", {"fields": ["email", "role"]})]
