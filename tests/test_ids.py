"""Random ids: whole batches of them, in the form of a UUID."""

import uuid

from playground.engine.ids import NONCE_BYTES, SystemIds
from playground.store.encryption import new_key


def test_ids_of_a_batch_are_random_uuids_and_none_repeats():
    ids = SystemIds().instance_ids(500)
    assert len(set(ids)) == 500
    for id in ids:
        parsed = uuid.UUID(id)
        assert str(parsed) == id and (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
    assert {id[19] for id in ids} == set("89ab") and len({id[:2] for id in ids}) > 100


def test_no_token_or_key_would_be_taken_for_an_option_of_a_command_line():
    assert not any(SystemIds().token().startswith("-") or new_key().startswith("-") for _ in range(1000))


def test_nonces_of_a_batch_are_of_one_length_and_none_repeats():
    nonces = SystemIds().nonces(500)
    assert len(set(nonces)) == 500 and {len(bytes.fromhex(nonce)) for nonce in nonces} == {NONCE_BYTES}
    assert SystemIds().nonces(0) == SystemIds().instance_ids(0) == []
