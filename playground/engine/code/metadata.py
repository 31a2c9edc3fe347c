"""A dispatcher's metadata, which routes an instance back to its tenant's code. It is stored apart from params."""

import json
from collections.abc import Mapping
from typing import Any

from playground.workflows import names
from playground.workflows.errors import InvalidMetadata, InvalidName, MissingDispatcherMetadataError

METADATA_BYTES = 16 * 1024  # as JSON
TENANT = "tenant"  # the key that names the tenant, whatever other keys there are
DERIVED = "_m_"  # prefix of a tenancy made from a hash; no other may have it


def check_metadata(metadata: Any) -> dict[str, Any]:
    """A copy of metadata that can be kept.

    Raises:
        MissingDispatcherMetadataError: there is none.
        InvalidMetadata: it is not a dict, not JSON, or over `METADATA_BYTES`.
    """
    if metadata is None or metadata == {}:
        raise MissingDispatcherMetadataError()
    if not isinstance(metadata, Mapping):
        raise InvalidMetadata(f"Dispatcher metadata must be a dict, not {type(metadata).__name__}.")
    try:
        text = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMetadata(f"Dispatcher metadata must be JSON: {error}.") from None
    if size > METADATA_BYTES:
        raise InvalidMetadata(
            f"Dispatcher metadata is {size:,} bytes as JSON; the limit is {METADATA_BYTES:,}. Keep a key in it, and "
            "the rest elsewhere."
        )
    copy: dict[str, Any] = json.loads(text)
    if copy != metadata:
        raise InvalidMetadata("Dispatcher metadata must be JSON: keys must be strings, and lists must not be tuples.")
    return copy


def tenancy(metadata: Mapping[str, Any]) -> str:
    """Whose instances these are: the name that ids, KV and turns belong to.

    Metadata with the same `tenant` belong together; without that key, only equal metadata do. A tenant that is a fit
    name is called by it, everything else by a hash.
    """
    tenant = metadata.get(TENANT)
    if tenant is not None:
        try:
            if not str(tenant).startswith(DERIVED):
                return names.check_name(tenant, "tenant")
        except InvalidName:
            pass
        metadata = {TENANT: tenant}
    canonical = json.dumps(metadata, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return DERIVED + names.derived_id(canonical)
