"""Asks a Prometheus every query of the Grafana dashboard. Usage: queries.py URL DASHBOARD

Prints how many series each has; exit 1 if one is refused, or has none though the demo has what it is about.
"""

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

# What the demo has no figures for: it has no TLS, refuses nobody, and loses no line.
MAY_BE_EMPTY = {"TLS handshakes", "Days until certificates expire", "Refused requests"}


def ask(url, query):
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]["result"], None
    except urllib.error.HTTPError as error:
        return [], json.load(error)["error"]


def filled_in(query):
    """The query as Grafana sends it when everything is chosen."""
    query = query.replace("$__rate_interval", "1m")
    return re.sub(r"\$(instance|pool)", ".*", query)


def queries(dashboard):
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            # label_values(SERIES, LABEL) is Grafana's own; it asks for the series.
            series = re.fullmatch(r"label_values\((.*), \w+\)", variable["definition"])
            yield f"variable {variable['name']}", series.group(1)
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"].removesuffix(" > 0")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def main():
    url, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    failed = False
    for name, query in queries(dashboard):
        result, error = ask(url, filled_in(query))
        numbers = [one for one in result if one["value"][1] != "NaN"]
        if error or not (numbers or name in MAY_BE_EMPTY):
            failed = True
            print(f"FAILED  {name}: {error or 'no figures'}\n        {query}")
        else:
            print(f"ok      {name}: {len(numbers)} series")
    sys.exit(failed)


main()
