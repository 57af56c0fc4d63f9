"""What each part costs a request: the same load with it and without it, by configuration.

What no key switches off, the metrics, is the room `record` of a run without access log. What works beside requests, as
checks do, is not in a request's price.
"""

import dataclasses

import scenarios
from scenarios import Scenario

BY_NAME = {one.name: one for one in scenarios.ALL}
LIMITS = Scenario.limits


@dataclasses.dataclass
class Price:
    part: str
    # Which scenario it is added to, with what in common.
    base: str
    common: dict
    without: dict
    having: dict

    def both(self):
        """The scenarios without it and with it."""
        base = dataclasses.replace(BY_NAME[self.base], **self.common)
        return dataclasses.replace(base, **self.without), dataclasses.replace(base, **self.having)


def pool(text):
    return {"pool": text}


def put(port):
    return scenarios.Http1(port, scenarios.PUT)


def unbound(port):
    return scenarios.Http1(port, scenarios.BROWSER + b"\r\n\r\n")


OFF = {"log": 'path = "off"'}
ALL = [
    Price("access log, JSON to a file", "keep-alive", {}, OFF, {}),
    Price("access log, JSON to a file", "browser", {}, OFF, {}),
    Price("access log, JSON to a file", "h2", {}, OFF, {}),
    Price("access log, text to a file", "keep-alive", {}, OFF, {"log": Scenario.log + '\nformat = "text"'}),
    Price("listener's limits: connections, per client, body", "keep-alive", {}, {"limits": ""}, {}),
    Price("listener's limits: connections, per client, body", "new", {}, {"limits": ""}, {}),
    Price("listener's limits: the rate of a body", "post", {},
          {"limits": LIMITS + '\nbody_rate = "0"'}, {"limits": LIMITS + '\nbody_rate = "500B/s"'}),
    Price("pool's limits: in flight, per backend, queue", "keep-alive", {},
          pool("[pools.shop.limits]\nqueue = 0"),
          pool("[pools.shop.limits]\nin_flight = 1000\nper_backend = 500\nqueue = 100")),
    Price("sticky, with a session's cookie", "browser", {}, {"sticky": False, "load": unbound}, {}),
    Price("health checks on", "keep-alive", {}, {},
          pool('[pools.shop.health]\ncheck = "http"\npath = "/healthz"\ninterval = "1h"')),
    Price("outliers: in a row, and shares of 5xx", "keep-alive", {},
          pool("[pools.shop.outlier]\nconsecutive = 0\nsuccess_rate = false"),
          pool("[pools.shop.outlier]\nconsecutive = 5\nsuccess_rate = true")),
    Price("retries allowed", "keep-alive", {},
          pool('[pools.shop.retry]\nattempts = 1\nbudget = "0%"'),
          pool('[pools.shop.retry]\nattempts = 2\nbudget = "20%"')),
    Price("retries, with 64 KiB kept to be sent again", "post", {"load": put},
          {}, pool('[pools.shop.retry]\nreplay_buffer = "128KiB"')),
]
