"""Models: alert rules, incidents and notices; events, webhooks and their deliveries."""

from alerts.models.events import Event, EventKind, EventNumbers
from alerts.models.incidents import AlertIncident, AlertNotice, AlertRule, Channel, Kind
from alerts.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "AlertIncident",
    "AlertNotice",
    "AlertRule",
    "Channel",
    "Event",
    "EventKind",
    "EventNumbers",
    "Kind",
    "Webhook",
    "WebhookDelivery",
]
