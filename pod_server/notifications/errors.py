"""What can go wrong with a subscription or its channel."""

from __future__ import annotations

from pod_server import problems


class NotificationError(Exception):
    """The root of this folder's errors."""


class SubscriptionMalformed(NotificationError):
    """The request for a channel is not JSON."""


class SubscriptionNotProcessable(NotificationError):
    """The request for a channel names no topic of this pod, another type of channel, or what cannot be had."""


class NoSuchChannel(NotificationError):
    """There is no such channel, or whoever asks has nothing to do with it."""


class TooManyWebhooks(NotificationError):
    """The pod, or all pods together, have as many webhooks as are served."""

    retry_after = 3600


class NoSuchChannelType(NotificationError):
    """Channels of this type are not offered."""


class ChannelGone(NotificationError):
    """The channel's address was never given out, or its time is over."""


class TooManyChannels(NotificationError):
    """The pod, or all pods together, have more channels open than are served."""

    retry_after = 30


class NotAWebSocket(NotificationError):
    """A WebSocket channel was opened without the protocol's handshake."""


problems.declare(SubscriptionMalformed, "subscription-malformed", "The subscription cannot be understood", 400)
problems.declare(
    SubscriptionNotProcessable, "subscription-not-processable", "The subscription cannot be had as asked for", 422
)
problems.declare(NoSuchChannel, "no-such-channel", "There is no such channel", 404)
problems.declare(TooManyWebhooks, "too-many-webhooks", "Too many webhooks are asked for", 429)
problems.declare(NoSuchChannelType, "no-such-channel-type", "Channels of this type are not offered", 404)
problems.declare(ChannelGone, "channel-gone", "There is no such channel, or its time is over", 404)
problems.declare(TooManyChannels, "too-many-channels", "Too many notification channels are open", 429)
problems.declare(NotAWebSocket, "not-a-websocket", "This channel is a WebSocket", 426)
