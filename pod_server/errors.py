"""What can go wrong with pods, their feed and what is kept in them."""

from __future__ import annotations

from pod_server import problems


class PodError(Exception):
    """The root of these errors."""


class NoSuchPod(PodError):
    """No pod has this handle or number."""

    def __init__(self) -> None:
        super().__init__("There is no such pod on this host.")


class PodMoved(NoSuchPod):
    """The pod lives on another host now.

    Attributes:
        root: Where: the pod's root container there.
    """

    def __init__(self, root: str) -> None:
        super(NoSuchPod, self).__init__("The pod has moved to another host.")
        self.root = root


class HandleTaken(PodError):
    """The handle belongs to a pod, or belonged to one that was deleted."""

    def __init__(self) -> None:
        super().__init__("This handle is taken, or was once; a deleted pod's handle is never given out again.")


class HandleMalformed(PodError):
    """The handle does not follow the pattern, or is a word that the house uses."""


class PermitExceeded(PodError):
    """A Permit was used for more than it permits: an error in our own code, stopped before it did harm."""

    def __init__(self) -> None:
        super().__init__("The permission that was given does not cover this.")


class NoSuchActivity(PodError):
    """Nothing of this id came under that consent, or nothing was said of it."""

    def __init__(self) -> None:
        super().__init__("There is no such activity, or it has been erased.")


class RecordConflict(PodError):
    """A record of this id was accepted with other content, and this one does not declare itself a correction."""

    def __init__(self) -> None:
        super().__init__(
            "An activity with this @id was accepted earlier with other content. Send it with a new @id, or, if it is "
            'meant to replace the earlier one, with "correction": true.'
        )


class BacklogFull(PodError):
    """As much as may wait for a locked pod waits already."""

    def __init__(self) -> None:
        super().__init__(
            "The citizen has locked this pod, and as much as may wait for it waits already. Nothing of this delivery was "
            "kept. Deliver it again after the citizen has opened the pod; a day from now is soon enough to try."
        )


class FeedMoved(PodError):
    """Another worker took the pod's changes first; the sums made from them must not be kept."""

    def __init__(self) -> None:
        super().__init__("Another worker has already taken these changes in.")


class VersionMoved(PodError):
    """Something was changed by another since it was read."""

    def __init__(self) -> None:
        super().__init__("This was changed in the meantime. Read it again and decide anew.")


problems.declare(NoSuchPod, "no-such-pod", "There is no such pod", 404)
problems.declare(PodMoved, "pod-moved", "The pod has moved", 308)
problems.declare(HandleTaken, "handle-taken", "The handle is taken", 409)
problems.declare(HandleMalformed, "handle-malformed", "This cannot be a handle", 400)
problems.declare(PermitExceeded, "permit-exceeded", "The permission does not cover this", 403)
problems.declare(NoSuchActivity, "no-such-activity", "There is no such activity", 404)
problems.declare(RecordConflict, "record-conflict", "The same id came with other content", 409)
problems.declare(BacklogFull, "backlog-full", "Too much waits for this locked pod", 507)
problems.declare(FeedMoved, "feed-moved", "Another worker was first", 409)
problems.declare(VersionMoved, "version-moved", "It was changed in the meantime", 409)
