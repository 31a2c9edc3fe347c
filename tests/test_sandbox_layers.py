"""The tiers, and what each layer stops by itself: harmless attacks with the other layers taken away."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from everyone_support import ROOT, as_ordinary, python_for_everyone, readable_by_everyone
from layers_support import EXCESSES, LAYERS
from sandbox_support import MEMORY, Log, held

from playground.sandbox import probe, probe_attacks, tiers
from playground.sandbox.layers import bubblewrap, identity, landlock, seccomp, visible_files
from playground.sandbox.pool import LaunchOptions, Sandbox, SandboxRefused
from playground.sandbox.tiers import LANDLOCK, LIMITS, NAMESPACES, SECCOMP, USER, Tier


def results(*without: str) -> tuple[Tier, dict[str, str]]:
    """The tier without some layers, and what the attacks reach in it."""

    async def story() -> tuple[Tier, dict[str, str]]:
        options = LaunchOptions(without=frozenset(without))
        sandbox = await Sandbox.open(
            memory_bytes=MEMORY, cpu_seconds=10, parked=1, unsafe=True, log=Log(), options=options
        )
        try:
            return sandbox.tier, await probe.run_attacks(await sandbox.take_worker())
        finally:
            await sandbox.close()

    with asyncio.Runner() as runner:
        return runner.run(story())


def test_every_attack_has_a_layer_that_answers_for_it() -> None:
    assert set(probe.STOPPED_BY) == set(probe_attacks.ATTACKS)
    assert all(probe.STOPPED_BY.values())


def test_with_every_layer_everything_is_blocked() -> None:
    tier, reached = results()
    assert tier.letter == "A"
    assert set(reached.values()) == {"blocked"}
    assert len(reached) == len(probe.STOPPED_BY)


@pytest.mark.parametrize(
    "kept",
    [
        {NAMESPACES},
        {LANDLOCK},
        {SECCOMP},
        {LIMITS},
        # Alone only where every user can reach Python, which root's own need not be.
        pytest.param(
            {USER, NAMESPACES}, marks=pytest.mark.skipif(not ROOT, reason="only root can give each worker a user")
        ),
    ],
    ids=lambda kept: ", ".join(sorted(kept)),
)
def test_a_layer_stops_exactly_what_the_table_says(kept: set[str]) -> None:
    _, reached = results(*(other for other in LAYERS if other not in kept))
    stopped = {name for name, result in reached.items() if result == "blocked"}
    expected = {name for name, layers in probe.STOPPED_BY.items() if layers & kept}
    if not ROOT:
        # An ordinary user has processes already, so that a limit of none stops a fork; and may not signal init anyway.
        elsewhere = {"fork", "start a thread", "signal process 1"}
        stopped -= elsewhere
        expected -= elsewhere
    assert stopped == expected


@pytest.mark.parametrize("kept", sorted(LAYERS))
def test_a_layer_stops_exactly_the_excesses_that_the_table_says(kept: str) -> None:
    if kept == USER and not ROOT:
        pytest.skip("only root can give each worker a user")
    also = {kept, NAMESPACES} if kept == USER else {kept}  # see above
    with held(cpu_seconds=1, parked=1, unsafe=True, without=frozenset(LAYERS) - also) as sandbox:
        stopped = {name for name, excess in EXCESSES.items() if sandbox.run(excess.source)[0] != "'open'"}
    assert stopped == {name for name, excess in EXCESSES.items() if excess.stops & also}


@pytest.mark.parametrize("layer", [NAMESPACES, LANDLOCK, SECCOMP])
def test_without_one_layer_the_tier_says_so(layer: str) -> None:
    without = {layer, USER} if layer == NAMESPACES else {layer}
    tier, _ = results(*without)
    assert tier.letter == {NAMESPACES: "B", LANDLOCK: "C", SECCOMP: "D"}[layer]
    assert layer not in tier.layers


@pytest.mark.parametrize(
    ("letter", "allow_weak", "unsafe", "loopback", "refusal"),
    [
        ("A", False, False, False, None),
        ("B", False, False, False, None),
        ("C", False, False, True, "--allow-weak-sandbox"),
        ("C", True, False, False, None),
        ("D", True, False, True, "--unsafe-no-sandbox"),
        ("D", False, True, True, None),
        ("D", False, True, False, "loopback"),
    ],
)
def test_who_is_served(letter: str, allow_weak: bool, unsafe: bool, loopback: bool, refusal: str | None) -> None:
    layers = {"A": tuple(LAYERS), "B": (LANDLOCK, SECCOMP), "C": (NAMESPACES, SECCOMP), "D": (NAMESPACES, LANDLOCK)}[
        letter
    ]
    tier = tiers.tier_of(layers)
    assert tier.letter == letter
    assert tier.sentence and tier.advice
    if refusal is None:
        tiers.require_allowed(tier, allow_weak=allow_weak, unsafe=unsafe, loopback=loopback)
    else:
        with pytest.raises(SandboxRefused, match=refusal):
            tiers.require_allowed(tier, allow_weak=allow_weak, unsafe=unsafe, loopback=loopback)


def test_an_attack_that_gets_through_refuses_the_server() -> None:
    tier = tiers.tier_of(tuple(LAYERS))
    held = dict.fromkeys(probe.STOPPED_BY, "blocked")
    probe.require_blocked(tier, held)
    with pytest.raises(SandboxRefused, match=r"fork \(open: forked\)"):
        probe.require_blocked(tier, {**held, "fork": "open: forked"})
    with pytest.raises(SandboxRefused, match=r"fork \(not tried\)"):
        probe.require_blocked(tier, {name: result for name, result in held.items() if name != "fork"})
    weak = tiers.tier_of((NAMESPACES, LANDLOCK))
    probe.require_blocked(weak, {**held, "fork": "open: forked"})


def test_a_namespace_that_cannot_be_made_is_told_and_costs_a_tier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that forbids them: bubblewrap is there, and fails."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    log = Log()

    async def story() -> Tier:
        sandbox = await Sandbox.open(
            memory_bytes=MEMORY, cpu_seconds=10, parked=1, log=log, options=LaunchOptions(without=frozenset({USER}))
        )
        await sandbox.close()
        return sandbox.tier

    with asyncio.Runner() as runner:
        tier = runner.run(story())
    assert tier.letter == "B"
    assert "No permissions to create new namespace" in tier.advice
    assert ("sandbox.no_namespaces", {"reason": "bwrap: No permissions to create new namespace"}) in log


def test_where_no_network_can_be_set_up_the_other_namespaces_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As inside gVisor: bubblewrap fails over the loopback device, and over nothing else."""
    real = bubblewrap.find_bubblewrap()
    fake = tmp_path / "bwrap"
    refuse = 'case "$*" in *--unshare-net*) echo "bwrap: loopback: Failed RTM_NEWADDR" >&2; exit 1;; esac'
    fake.write_text(f'#!/bin/sh\n{refuse}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    log = Log()

    async def story() -> tuple[Tier, dict[str, str]]:
        sandbox = await Sandbox.open(memory_bytes=MEMORY, cpu_seconds=10, parked=1, log=log)
        try:
            return sandbox.tier, await probe.run_attacks(await sandbox.take_worker())
        finally:
            await sandbox.close()

    with asyncio.Runner() as runner:
        tier, reached = runner.run(story())
    assert (tier.letter, tier.advice) == ("A", tiers.MICROVM)
    assert set(reached.values()) == {"blocked"}
    assert "sandbox.no_network_namespace" in log.events()


@pytest.mark.parametrize(
    ("layers", "missing", "sentence", "advice"),
    [
        (tuple(LAYERS), "", "Isolated", "gVisor or a microVM"),
        ((LANDLOCK, SECCOMP), tiers.NOT_INSTALLED, "no namespaces", "Install bubblewrap"),
        ((LANDLOCK, SECCOMP), f"{tiers.CANNOT}: no permission", "no namespaces", "no permission"),
        ((NAMESPACES, SECCOMP), "", "no Landlock", "kernel of version 6.12"),
        ((USER, SECCOMP), "", "what every user of this machine can", "kernel of version 6.12"),
        ((SECCOMP,), "", "its database too", "kernel of version 6.12"),
        ((NAMESPACES, LANDLOCK), "", "NOT isolated", "libseccomp2"),
    ],
)
def test_every_tier_says_what_it_is_and_what_to_do_for_more(
    layers: tuple[str, ...], missing: str, sentence: str, advice: str
) -> None:
    tier = tiers.tier_of(layers, missing)
    assert sentence in tier.sentence
    assert advice in tier.advice
    assert "\n" not in tier.sentence + tier.advice


ORDINARY = """
import asyncio, json, sys
from playground.sandbox import probe
from playground.sandbox.pool import LaunchOptions, Sandbox
async def story():
    sandbox = await Sandbox.open(memory_bytes={memory}, cpu_seconds=10, parked=1, log=lambda *words, **fields: None,
                                 options=LaunchOptions(without=frozenset(sys.argv[1:])))
    print(json.dumps([sandbox.tier.letter, sandbox.tier.layers, await probe.run_attacks(await sandbox.take_worker())]))
    await sandbox.close()
asyncio.run(story())
"""


@pytest.mark.parametrize(("without", "letter"), [((), "A"), ((NAMESPACES,), "B")])
def test_an_ordinary_user_has_the_same_tiers(without: tuple[str, ...], letter: str) -> None:
    python = python_for_everyone()
    if python is None:
        pytest.skip("no setpriv, or no Python of this version that an ordinary user can run")
    with readable_by_everyone() as path:
        ran = subprocess.run(
            [*as_ordinary(), python, "-B", "-c", ORDINARY.format(memory=MEMORY), *without],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
            env={**os.environ, "PYTHONPATH": ":".join(map(str, path))},
        )
    assert ran.stdout, ran.stderr
    found, layers, reached = json.loads(ran.stdout)
    assert found == letter
    assert {name for name, result in reached.items() if result == "blocked"} == {
        name for name, stops in probe.STOPPED_BY.items() if stops & set(layers)
    }


def test_the_filter_is_the_same_each_time_and_small_enough() -> None:
    program = seccomp.build_filter()
    assert program == seccomp.build_filter()
    assert 0 < len(program) // 8 < 4096  # what the kernel takes


def test_a_call_that_libseccomp_does_not_know_stays_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    program = seccomp.build_filter()
    monkeypatch.setattr(seccomp, "ALLOWED", (*seccomp.ALLOWED, "a_call_of_the_next_century"))
    assert seccomp.build_filter() == program


def test_this_kernel_has_landlock() -> None:
    assert landlock.abi() >= landlock.WANTED_ABI


def test_users_for_workers_belong_to_nobody() -> None:
    numbers = identity.unused_users()
    assert len(numbers) >= 1
    assert os.getuid() not in numbers
    assert 0 not in numbers


def test_third_party_packages_are_covered_up_or_left_out() -> None:
    inside = visible_files.find_visible_files(in_namespace=True)
    outside = visible_files.find_visible_files(in_namespace=False)
    assert inside.masked == outside.masked
    assert not any("-packages" in path for path in outside.readable() if path != outside.zones)
    for shown in (inside, outside):
        ours = ("settings.py", "pool.py", "/playground", "/store", "/engine", "/web")
        assert not any(path.endswith(ours) for path in shown.readable())
    assert all(path.startswith(visible_files.APP) or "/ld-" in path for path in inside.package)
