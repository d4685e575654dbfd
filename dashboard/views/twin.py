"""The twin's inbox: proposals that wait, what exactly would be sent, and what has been done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import redirect, request

from dashboard import frame
from dashboard.views.proposal_words import all_proposals
from dashboard.visits import answered_form, citizens_visit
from pod_server import problems, turning_the_twin
from pod_server.identifiers import Actor
from twin_agent.act import approve as approve_proposal
from twin_agent.act import decline as decline_proposal

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from pod_server.host import Host


def twin(host: Host, *, problem: str = "", status: int = 200) -> Response:
    """The inbox."""
    visit, session, own = citizens_visit(host)
    listed = all_proposals(host, visit, own)
    done = request.args.get("done", "")
    waiting = [each for each in listed if each.state == "waiting"]
    return frame.page(
        "twin.html.jinja",
        visit,
        status=status,
        waiting=waiting,
        reminders=max(0, visit.waiting - len(waiting)),
        settled=[each for each in listed if each.state != "waiting"],
        done=visit.words(f"twin.done-{done}") if done in {"approved", "declined", "off", "on"} else "",
        problem=problem,
        is_on=turning_the_twin.is_on(host, session.pod_id),
        request_path="/-/twin",
    )


def approve(host: Host, proposal_id: str) -> AnyResponse:
    """Say yes to one proposal, exactly as it was shown: the plan's hash travels with the form."""
    visit, _, own = answered_form(host)
    try:
        approve_proposal(host, own, proposal_id, request.form.get("plan_hash", ""))
    except Exception as refused:
        declared = problems.problem_type_of(refused)
        if declared is None:
            raise
        t, reason = visit.words, f"reason.{declared.slug}"
        return twin(host, problem=t(reason) if t.has(reason) else declared.title, status=declared.status)
    return redirect("/-/twin?done=approved", code=303)


def decline(host: Host, proposal_id: str) -> AnyResponse:
    """Say no; nothing leaves the pod."""
    _, _, own = answered_form(host)
    decline_proposal(host, own, proposal_id)
    return redirect("/-/twin?done=declined", code=303)


def turn(host: Host, way: str) -> AnyResponse:
    """End the twin's standing mandate, or give it again: one step either way."""
    _, session, _ = answered_form(host)
    turning_the_twin.turn(host, session.pod_id, on=way == "on", actor=Actor("citizen"))
    return redirect(f"/-/twin?done={way}", code=303)
