"""Every example of the two documents, with values of our own: real digests, possible phones, no real person."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

EMAIL = "sarah.j@example.com"
EMAIL_DIGEST = sha256(EMAIL.encode()).hexdigest()
PHONE = "+12125550142"
PHONE_DIGEST = sha256(PHONE.encode()).hexdigest()

B2B_USER = {
    "company_size": "enterprise",
    "industry": "fintech",
    "job_title": "marketing_director",
    "decision_maker": "true",
    "budget_range": "50000-100000",
    "lead_source": ["linkedin", "webinar"],
    "qualification_status": "qualified",
    "sales_stage": "proposal",
}
SHOP_USER = {
    "customer_type": "returning",
    "membership_level": "platinum",
    "preferred_category": ["electronics", "fashion"],
    "last_purchase_date": "2024-12-15",
    "average_order_value": "350.00",
    "payment_method_preference": "card",
    "registration_date": "2023-06-15",
}
SUBSCRIBER = {
    "subscription_tier": "premium",
    "billing_cycle": "annual",
    "feature_usage": ["analytics", "reporting", "api"],
    "trial_user": "false",
    "renewal_date": "2025-06-30",
    "support_level": "priority",
    "usage_frequency": "daily",
}
READER = {
    "content_preferences": ["technology", "business"],
    "engagement_level": "high",
    "newsletter_subscriber": "true",
    "device_preference": ["mobile", "desktop"],
    "timezone": "Europe/Bucharest",
}

EVERY_USER_FIELD: dict[str, Any] = {
    "id": "CUSTOMER-17",
    "email": EMAIL,
    "phone": "+40722123456",
    "first_name": "Sarah",
    "last_name": "Johnson",
    "country": "Romania",
    "region": "Bucuresti",
    "city": "Bucuresti",
    "street": "Strada Lunga 12",
    "postal_code": "010101",
    "orders_total_number": 5,
    "orders_canceled_number": 0,
    "orders_total_value": 1234.99,
    "orders_refunded_value": 250.99,
    "predicted_value": 100.99,
    "created_at": 1_754_926_521_690,
    "properties": SHOP_USER,
}

_COMPLETE_USER: dict[str, Any] = {
    "id": "LEAD_5150",
    "email": [EMAIL],
    "phone": [PHONE],
    "first_name": "Sarah",
    "last_name": "Johnson",
    "country": "United States",
    "region": "New York",
    "city": "New York",
    "street": "456 Corporate Plaza, Floor 15",
    "postal_code": "10001",
    "properties": {
        "job_title": "VP of Operations",
        "company_size": "500-1000",
        "annual_revenue": "50M-100M",
        "decision_maker": True,
        "budget_authority": True,
        "lead_source": "linkedin_ads",
    },
}
_COMPLETE_EVENT: dict[str, Any] = {
    "name": "lead_qualified",
    "value": 750.5,
    "currency": "USD",
    "exchange_rate": 1,
    "id": "QUALIFIED_LEAD_77",
    "properties": {
        "qualification_method": "sales_review",
        "lead_score_before": 65,
        "lead_score_after": 95,
        "qualification_criteria_met": 8,
        "days_in_pipeline": 14,
        "touchpoints_count": 12,
        "qualification_confidence": 0.92,
        "assigned_sales_rep": "john_sales",
        "next_action_planned": "discovery_call",
        "qualification_notes_added": True,
    },
}
_COMPLETE_CONTEXT = {
    "environment": "prod",
    "data_source": "crm_system",
    "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36",
    "url": "https://crm.example.com/leads/qualification",
    "landing_url": "https://example.com/enterprise-solutions",
}


def qualified(user: dict[str, Any], **event: Any) -> dict[str, Any]:
    return {
        "event": {"name": "lead_qualified", "currency": "USD", "id": "Q-1", **event},
        "context": {"environment": "prod", "data_source": "website"},
        "user": user,
    }


def disqualified(reason: str, detail: str | None = None, **user: Any) -> dict[str, Any]:
    properties = {"disqualification_reason": reason, "disqualification_stage": "MQL"}
    if detail:
        properties["disqualification_detail"] = detail
    return {
        "event": {
            "name": "lead_disqualified",
            "value": 0,
            "currency": "USD",
            "id": "lead_9c2",
            "properties": properties,
        },
        "context": {"url": "https://crm.example.com/leads/lead_9c2", "environment": "prod"},
        "user": {"id": "cust_9c2", "email": EMAIL, **user},
    }


#: Right in the older generation, to the letter.
STANDARD: dict[str, dict[str, Any]] = {
    "qualified, complete": {
        "event": _COMPLETE_EVENT,
        "context": {
            **_COMPLETE_CONTEXT,
            "overide_ip": "203.145.67.89",
            "referring_url": "https://linkedin.com/company/example",
        },
        "user": _COMPLETE_USER,
    },
    "qualified, minimal": qualified(
        {"email": [EMAIL], "first_name": "Mike", "last_name": "Davis", "country": "Canada"}, value=400
    ),
    "qualified, code samples": qualified({"email": EMAIL, "new_customer": True}, value=750),
    "qualified, required only": {
        "event": {"name": "lead_qualified", "currency": "EUR", "id": "Q-2"},
        "context": {"environment": "prod"},
    },
    "qualified, several contacts": qualified(
        {"email": [EMAIL, "s.johnson@example.org"], "phone": ["+40712345678", PHONE]}
    ),
    "qualified, hashed": qualified({"email": [EMAIL_DIGEST], "phone": [PHONE_DIGEST]}),
    "qualified, one hash as text": qualified({"email": EMAIL_DIGEST, "phone": PHONE_DIGEST}),
    "qualified, every user field": qualified(EVERY_USER_FIELD),
    "qualified, B2B": qualified({"properties": B2B_USER}, properties={"lead_status": "converted"}),
    "qualified, subscriber": qualified({"properties": SUBSCRIBER}, properties=SUBSCRIBER),
    "qualified, reader": qualified({"properties": READER}, properties={"cancel_reason": "returning"}),
    "qualified, page": {
        **qualified({"id": "c"}),
        "context": {
            "environment": "dev",
            "url": "https://shop.example.com/products/laptop?color=silver&storage=512gb&utm_source=google",
            "page_type": "product",
        },
    },
    "qualified, cookies": {**qualified({"id": "c"}), "cookies": [{"name": "_ga", "value": "GA1.2.3.4"}]},
    "disqualified, out of ICP": disqualified("out_of_icp", "company_size_too_small"),
    "disqualified, no budget": disqualified("no_budget"),
    "disqualified, no authority": disqualified("no_authority"),
    "disqualified, duplicate": disqualified("duplicate", phone="+10000000000"),
    "disqualified, every user field": disqualified("competitor", **EVERY_USER_FIELD),
}


def for_webhooks(body: dict[str, Any]) -> dict[str, Any]:
    """The same event in the newer generation's spelling; only for bodies without lists and hashes."""
    names = {"overide_ip": "override_ip", "referring_url": "referrer_url"}
    renamed = {**body, "context": {names.get(name, name): value for name, value in body["context"].items()}}
    if "cookies" in body:
        renamed["cookies"] = {cookie["name"]: cookie["value"] for cookie in body["cookies"]}
    return renamed


#: What the newer generation does not take of the above, by field.
LEFT_OUT_ON_WEBHOOKS = {
    "qualified, hashed": ("user.email", "user.phone"),
    "qualified, one hash as text": ("user.email", "user.phone"),
}
