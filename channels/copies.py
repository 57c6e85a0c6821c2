"""Worker side. A second channel like a first one."""

from django.db import transaction
from django.forms.models import model_to_dict

from channels.models import Channel, Offering, OfferingPrice


@transaction.atomic
def copy_channel(channel: Channel) -> Channel:
    """A new, inactive channel with the same settings, offerings and prices, and without keys. Raises SealBroken.

    The sealed proxy and headers are opened and sealed again, for the new row's own identity.
    """
    copied = {
        field.attname: getattr(channel, field.attname)
        for field in Channel._meta.concrete_fields
        if field.name not in ("id", "uid", "name", "proxy_url", "extra_headers", "is_active")
    }
    copy = Channel(**copied, name=_free_name(channel.name), is_active=False)
    copy.proxy_url = channel.open_sealed("proxy_url")
    copy.extra_headers = channel.open_sealed("extra_headers")
    copy.save()
    for offering in channel.offerings.all():
        twin = Offering.objects.create(
            channel=copy,
            provider_model_id=offering.provider_model_id,
            name=offering.name,
            aliases=offering.aliases,
            is_active=offering.is_active,
        )
        OfferingPrice.objects.bulk_create(
            OfferingPrice(offering=twin, **_price_values(price)) for price in offering.prices.all()
        )
    return copy


def _price_values(price: OfferingPrice) -> dict[str, object]:
    return model_to_dict(price, exclude=["id", "offering"])


def _free_name(name: str) -> str:
    room = Channel._meta.get_field("name").max_length or 100
    number = 1
    while True:
        suffix = "-copy" if number == 1 else f"-copy-{number}"
        wanted = name[: room - len(suffix)] + suffix
        if not Channel.objects.filter(name=wanted).exists():
            return wanted
        number += 1
