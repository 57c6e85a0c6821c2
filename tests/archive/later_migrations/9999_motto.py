"""What a later version may do: a column, its values from the rows that are there, and a constraint that needs them."""

from typing import Any

from django.db import migrations, models

from tests.archive.later_migrations import LATEST


def name_mottos(apps: Any, editor: Any) -> None:
    for provider in apps.get_model("providers", "Provider").objects.all():
        provider.motto = f"motto of {provider.name}"
        provider.save()
    # A foreign key that is written here is checked only at the end of the transaction, unless somebody asks earlier.
    model = apps.get_model("providers", "ProviderModel").objects.first()
    if model:
        model.save()


class Migration(migrations.Migration):
    dependencies = [("providers", LATEST)]

    operations = [
        migrations.AddField("provider", "motto", models.CharField(max_length=100, null=True)),
        migrations.RunPython(name_mottos, migrations.RunPython.noop),
    ]
