"""The budget of tokens: of a tenant for a day (UTC), and of a run for all its life, on all nodes together.

What a call may take at most is reserved before it is made, and what it did not take is given back when it has ended. So
calls at once can't take more than there is, and a call whose end nobody saw counts as what it might have taken.
"""

from dataclasses import dataclass
from typing import Self

from playground.store.rows import InstanceRow
from playground.store.tables import Claim, UsageStore
from playground.workflows.errors import AIBudgetError

PER_DAY, PER_RUN = "ai_tokens_per_day", "ai_tokens_per_run"
DAY_MS = 86_400_000
OWN = "/own"  # behind the key of what was used of models that are not the operator's; no tenant's name holds it
_OF_RUN = ("this run", "For more work, start another run.")
_OF_DAY = ("this tenant today", "The day ends at midnight UTC.")


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens there are. `is_own`: the tenant, or the program, has set them, and not the server's operator."""

    per_day: int
    per_run: int
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens that a call may take."""

    usage: UsageStore
    claims: tuple[Claim, ...]

    @classmethod
    async def make(cls, usage: UsageStore, row: InstanceRow, budget: Budget, tokens: int, *, at: int) -> Self:
        """Reserve tokens for a call of an instance. Raises AIBudgetError."""
        of = OWN if budget.is_own else ""
        run = Claim(PER_RUN, f"{row.key}{of}", 0, tokens, budget.per_run)
        claims = (Claim(PER_DAY, f"{row.tenant}{of}", at // DAY_MS, tokens, budget.per_day), run)
        refused = await usage.take(claims)
        if refused is not None:
            claim, used = refused
            of, what = _OF_RUN if claim is run else _OF_DAY
            message = (
                f"This call may take {tokens:,} tokens, and of the {claim.most:,} of {of} "
                f"{max(0, claim.most - used):,} are left. Ask for a shorter answer by inputs.max_tokens. {what}"
            )
            raise AIBudgetError(message) if budget.is_own else AIBudgetError(message, setting=claim.limit)
        return cls(usage, claims)

    async def settle(self, tokens: int) -> None:
        """The call has ended and taken so many."""
        spare = {claim[:3]: tokens - claim.amount for claim in self.claims}
        day = next(claim.unit for claim in self.claims if claim.limit == PER_DAY)
        await self.usage.add(spare, since={}, kept={PER_DAY: day - 1})
