"""What programs and people are told of an approval, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepup_middleware.asgi import header
from stepup_middleware.core.approvals import ApprovalRefused, Offer
from stepup_middleware.core.moments import iso
from stepup_middleware.core.texts import marked
from stepup_middleware.roots import base_of

if TYPE_CHECKING:
    from stepup_middleware.languages import Texts
    from stepup_middleware.service.stepup import StepUp

_REFUSED = {
    ApprovalRefused.ANOTHER_WAITS: marked(
        "Another request of this session waits to be approved. Approve or deny that one first, or take it back."
    ),
    ApprovalRefused.TOO_MANY: marked(
        "You were asked for approval too often of late. Look at what waits, and ask again later."
    ),
}


def approval_members(
    approval: Offer | ApprovalRefused, stepup: StepUp, scope: Mapping[str, Any], texts: Texts
) -> dict[str, Any]:
    """Return the members of a refusal that say how it can be approved, or why nobody is asked for that."""
    address = address_of(scope, stepup)
    if isinstance(approval, ApprovalRefused):
        refused = {"reason": approval.value, "detail": texts(_REFUSED[approval]), "url": f"{address}/approvals"}
        return {"approval_refused": refused}
    return {
        "approval": {
            "url": f"{address}/approve/{approval.code}",
            "code": approval.code,
            "match": approval.match,
            "expires_at": iso(approval.expires_at),
        }
    }


def address_of(scope: Mapping[str, Any], stepup: StepUp) -> str:
    """Return the library's prefix as a whole URL, for whoever has no page that it could be relative to.

    It is at the listed origin whose host the request names, else at the first one: never where a header alone says.
    """
    origins = stepup.relying_party.origins
    host = (header(scope, b"host") or b"").decode("latin-1").lower()
    origin = next((each for each in origins if each.partition("://")[2] == host), origins[0])
    return origin + base_of(scope, stepup.prefix)
