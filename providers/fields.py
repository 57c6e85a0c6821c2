"""Worker side. A column for what a model can do, of which nothing may be known."""

from typing import Any

from django.db import models

# In the column an empty list is what nobody has filled in, as it always was; processes of an older version read it so.
_NONE_OF_THEM = ["none"]


class CapabilitiesField(models.JSONField):
    """A list of capabilities; empty: none of them; None: nothing is known."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        return None if not found else [] if found == _NONE_OF_THEM else found

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return super().get_db_prep_save(_NONE_OF_THEM if value == [] else value or [], connection)
