"""Worker side. Router keys of members: what they choose of them, and that another key is no way out of their limits."""

from django.db.models import Min, QuerySet

from billing.models import Budget
from smartrouter.accounts.models import RouterKey
from smartrouter.admin.tenancy import Viewpoint, tops_of

# What a member edits of a key of his own: nothing that holds him to anything.
MEMBER_EDITS = ("name", "default_model", "labels")
# What he chooses of a new one: all of it only narrows. Afterwards its restrictions are for the tenant's admins, since
# nobody can tell whether an admin has put them there.
MEMBER_FIELDS = (*MEMBER_EDITS, "allowed_models", "denied_models", "networks", "expires_at")
LIMITS = ("rpm", "tpm", "max_parallel")


def is_own(view: Viewpoint, key: RouterKey) -> bool:
    """Whether the key belongs to the one who looks, as a member of its tenant."""
    return key.tenant_id in view.managed and key.owner_id == view.user_id


def is_for_member(view: Viewpoint, tenant_id: int | None) -> bool:
    """Whether a new key of the tenant is held to what members may."""
    return not view.is_operator and tenant_id not in view.administered


def own_keys(view: Viewpoint, tenant_id: int) -> QuerySet[RouterKey]:
    """The keys that the one who looks owns in the tenant's tree, revoked ones too: a member of the upper tenant makes keys
    in all below it, so that the limits of one hold for a further one wherever that is."""
    mine = RouterKey.objects.filter(owner=view.user_id).order_by()
    tops = tops_of({tenant_id, *mine.values_list("tenant_id", flat=True)})
    return mine.filter(tenant__in=[pk for pk, top in tops.items() if top == tops[tenant_id]])


def has_budgets(view: Viewpoint, tenant_id: int) -> bool:
    """Whether one of the keys that the one who looks owns in the tenant's tree has a budget."""
    return Budget.objects.filter(scope__router_key__in=own_keys(view, tenant_id)).exists()


def keep_to_member(key: RouterKey, view: Viewpoint) -> None:
    """Make a new key its maker's own, with nothing set that a member may not choose, and the tightest of the limits that
    his keys have."""
    key.owner_id = view.user_id
    chosen = ("tenant", "owner", *MEMBER_FIELDS)
    for field in RouterKey._meta.concrete_fields:
        if field.editable and not field.primary_key and field.name not in chosen:
            setattr(key, field.attname, field.get_default())
    tightest = own_keys(view, key.tenant_id).aggregate(**{name: Min(name) for name in LIMITS})
    for name, limit in tightest.items():
        setattr(key, name, limit)
