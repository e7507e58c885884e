"""Each alert of deploy/alerts.yml fires for what it is about and ends with it, as promtool plays metrics to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import missing
from tests.servers.site import ROOT

RULES = ROOT / "deploy/alerts.yml"
# Alert -> metrics, with a value a minute in promtool's notation: ten minutes well, twenty ill, thirty well.
HOST = '{host="web1"}'
METRICS: dict[str, dict[str, str]] = {
    "PrxEmailSilent": {"prx_email_database_answer_seconds": "0.01x9 stale _x19 0.01x30"},
    "PrxEmailNoWorker": {f"prx_email_clusters{HOST}": "1x9 0x19 1x30"},
    "PrxEmailApiFails": {
        'prx_email_api_requests_total{route="/a",method="GET",status="2xx"}': "0+9x60",
        'prx_email_api_requests_total{route="/a",method="GET",status="5xx"}': "0x9 0+1x19 19x30",
    },
    "PrxEmailStoreSlow": {f"prx_email_store_answer_seconds{HOST}": "0.1x9 3x19 0.1x30"},
    "PrxEmailStoreDisk": {f"prx_email_store_disk_free_percent{HOST}": "40x9 9x19 40x30"},
    "PrxEmailProcess": {
        'prx_email_processes{host="web1",role="web"}': "1x9 0x19 1x30",
        'prx_email_processes{host="web2",role="web"}': "1x60",
    },
    "PrxEmailNoProcess": {
        'prx_email_processes{host="web1",role="alerts"}': "1x9 0x19 1x30",
        'prx_email_processes{host="web2",role="alerts"}': "0x60",  # it ran there once
    },
    "PrxEmailDatabaseFails": {
        'prx_email_database_failures_total{host="web1",kind="refused"}': "0x9 0+2x19 38x30",
    },
    "PrxEmailDatabaseSlow": {
        f"prx_email_host_database_seconds{HOST}": "0.01x9 2x19 0.01x30",
        "prx_email_database_answer_seconds": "0.01x60",
    },
}
# One host is down, and the other does it: what pages somebody at night stays silent.
SILENT: dict[str, dict[str, str]] = {
    "PrxEmailNoWorker": {f"prx_email_clusters{HOST}": "0x60", 'prx_email_clusters{host="web2"}': "1x60"},
    "PrxEmailNoProcess": {
        'prx_email_processes{host="web1",role="alerts"}': "0x60",
        'prx_email_processes{host="web2",role="alerts"}': "1x60",
    },
    "PrxEmailApiFails": {'prx_email_api_requests_total{route="/a",method="GET",status="2xx"}': "0+9x60"},
    "PrxEmailDatabaseFails": {'prx_email_database_failures_total{host="web1",kind="waited"}': "0+0.2x60"},
}
WELL = {
    "prx_email_database_answer_seconds": "0.01x60",
    'prx_email_clusters{host="web3"}': "1x60",
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def metrics_of(rule: dict[str, Any]) -> dict[str, str]:
    if kind := rule["labels"].get("kind"):
        return {f'prx_email_incident{{kind="{kind}",account="7",sentence="It is so."}}': "_x9 1x19 stale"}
    return METRICS[rule["alert"]]


def played(alert: str, metrics: dict[str, str], firing: dict[str, bool]) -> dict[str, Any]:
    """A group of promtool's tests: whether this alert fires at these times."""
    names = {name.partition("{")[0] for name in metrics}
    series = {name: values for name, values in WELL.items() if name.partition("{")[0] not in names} | metrics
    firing_one = f'group by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    said = [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": firing_one, "eval_time": at, "exp_samples": said * fires} for at, fires in firing.items()
        ],
    }


def test_each_alert_fires_and_ends(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        missing("promtool is missing: apt-get install prometheus")
    tests = [played(rule["alert"], metrics_of(rule), {"9m": False, "25m": True, "55m": False}) for rule in rules()]
    tests += [played(name, metrics, {"25m": False, "55m": False}) for name, metrics in SILENT.items()]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        missing("promtool is missing: apt-get install prometheus")
    tests = [played("PrxEmailStoreSlow", {f"prx_email_store_answer_seconds{HOST}": "0.1x60"}, {"25m": True})]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    assert subprocess.run(["promtool", "test", "rules", file], capture_output=True).returncode == 1
