"""What Airflow discovers about this provider.

Airflow reads this dict during ``import airflow``, in every command and every process: a wrong value here
breaks all of them. So it is plain data, and this module imports nothing.
"""

from __future__ import annotations

from typing import Any

_INTEGRATION = "DATA Reshape"

# The fields of the connection form that are kept in the connection's extra, in the order the form shows them.
# An empty field is stored as null and means the default.
_EXTRA_FIELDS: dict[str, dict[str, Any]] = {
    "script_id": {
        "label": "Script ID",
        "description": "Required. Eight capital letters or digits, as DATA Reshape shows it for the website.",
        "schema": {"type": ["string", "null"], "pattern": "^[A-Z0-9]{8}$"},
    },
    "environment": {
        "label": "Environment",
        "description": (
            "prod: events are real and reach the ad platforms. dev: DATA Reshape logs them and does nothing "
            "else. An empty field means prod, so events are real."
        ),
        "schema": {"type": ["string", "null"], "enum": ["prod", "dev"], "default": "prod"},
    },
    "api": {
        "label": "API generation",
        "description": (
            "standard: POST /reshape/standard/event. webhooks: POST /webhooks/reshape/event, which carries "
            "consent. An empty field means standard."
        ),
        "schema": {"type": ["string", "null"], "enum": ["standard", "webhooks"], "default": "standard"},
    },
    "test_route": {
        "label": "Test route",
        "description": "Send to the /test route, which takes everything as dev. Only webhooks has one.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "data_source": {
        "label": "Data source",
        "description": "Goes into context.data_source of events that name none, for example crm.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "How long one request may take. An empty field means 30 seconds.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30},
    },
    "verify": {
        "label": "Verify TLS certificate",
        "description": "Leave on. For a private certificate authority give its file below.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
    "ca_path": {
        "label": "CA file",
        "description": "Path on the workers of a PEM file with the certificate authorities to trust.",
        "schema": {"type": ["string", "null"]},
    },
    "proxies": {
        "label": "Proxy",
        "description": 'A URL, or an object by scheme such as {"https": "http://proxy.example.com:3128"}.',
        "schema": {"type": ["string", "object", "null"]},
    },
    "allow_http": {
        "label": "Allow plain http",
        "description": "Without TLS the token and the leads travel in clear. Loopback needs no permission.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "ledger_key": {
        "label": "Ledger key",
        "description": (
            "Keys the ledger's digests. An empty field means the access token. When the token changes after leads "
            "were forgotten, put the earlier one here."
        ),
        "schema": {"type": ["string", "null"], "format": "password"},
    },
}


def get_provider_info() -> dict[str, Any]:
    """What this provider brings, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-reshape",
        "name": _INTEGRATION,
        "description": "Sends lead events from a CRM to DATA Reshape, each once, correct and accounted for.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://kb.datareshape.ro",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "airflow_reshape.operators.events",
                    "airflow_reshape.operators.replay",
                    "airflow_reshape.decorators.reshape",
                ],
            }
        ],
        "hooks": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": ["airflow_reshape.hooks.reshape"],
            }
        ],
        "transfers": [
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": _INTEGRATION,
                "python-module": "airflow_reshape.transfers.sql_to_reshape",
            }
        ],
        "task-decorators": [
            {
                "name": "reshape",
                "class-name": "airflow_reshape.decorators.reshape.reshape_task",
            }
        ],
        "asset-uris": [
            {
                "schemes": ["reshape"],
                "handler": "airflow_reshape.assets.sanitize_uri",
                "factory": "airflow_reshape.assets.reshape_asset",
                "to_openlineage_converter": "airflow_reshape.assets.to_openlineage",
            }
        ],
        "connection-types": [
            {
                "connection-type": "reshape",
                "hook-class-name": "airflow_reshape.hooks.reshape.ReshapeHook",
                "hook-name": _INTEGRATION,
                "ui-field-behaviour": {
                    # login stays empty: a plain HTTP operator on this connection would send it as Basic auth.
                    "hidden-fields": ["login"],
                    "relabeling": {
                        "host": "Subdomain (host)",
                        "password": "Access token",
                        "schema": "Scheme (https)",
                    },
                    "placeholders": {
                        "host": "dre2.yourdomain.com",
                        "schema": "https",
                        "port": "443",
                    },
                },
                "conn-fields": _EXTRA_FIELDS,
            }
        ],
    }
