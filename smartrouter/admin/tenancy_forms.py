"""Worker side. What forms of tenants' people refuse beyond what the model does: taken names, and ways out of a tree."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smartrouter.accounts.models import Tenant
from smartrouter.admin.tenancy import Viewpoint, tops_of

# One sentence for every reason: whose name it is, and whether it still is somebody's, is not theirs to know.
OTHER_NAME = gettext_lazy("Choose another name.")


class TreeForm(forms.ModelForm):
    """The form of a page that is open to tenants' people; view: whoever looks."""

    view = Viewpoint(is_operator=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.view.is_operator and "name" in self.fields:
            self.fields["name"].error_messages["unique"] = OTHER_NAME

    def stays_in_tree(self, now: int | None, wanted: Tenant | None) -> Tenant | None:
        """The tenant that is wanted. Raises ValidationError where it is of another tree than the one (an id) that stands
        now: the admin of two trees carries nothing from one to the other."""
        if self.view.is_operator or now is None or wanted is None or wanted.pk == now:
            return wanted
        tops = tops_of([now, wanted.pk])
        if tops[now] != tops[wanted.pk]:
            raise ValidationError(_("Choose a tenant below the same topmost tenant."), code="tree")
        return wanted
