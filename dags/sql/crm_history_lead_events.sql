-- One row for each stage in which a lead stayed, at the first time it did. The stages' lengths, re-entries and
-- duplicates are dealt with in parts/; what is yours stands here: the tables, and the name of the stage of lost leads.
{%- import "sql/parts/times.sql" as times with context %}
{%- set disqualified = "Disqualified" %}
WITH moves AS (
    -- The history: who (lead_id), where to (stage), when (changed_at, in UTC), and an id for the order of changes
    -- in the same second.
    SELECT
        history.lead_id,
        history.to_stage                          AS stage,
        history.changed_at,
        {{ times.seconds("history.changed_at") }} AS at_second,
        history.id                                AS change_id,
        history.lost_reason
    FROM stage_history AS history
    WHERE history.to_stage IS NOT NULL
),
{% include "sql/parts/stays.sql" %},
{% include "sql/parts/settled.sql" %},
live AS (
    SELECT LOWER(TRIM(lead.email)) AS email, REPLACE(lead.phone, ' ', '') AS phone
    FROM leads AS lead
    LEFT JOIN out_now ON out_now.lead_id = lead.lead_id
    WHERE out_now.lead_id IS NULL
),
live_emails AS (SELECT DISTINCT live.email FROM live WHERE live.email <> ''),
live_phones AS (SELECT DISTINCT live.phone FROM live WHERE live.phone <> '')
SELECT
    settled.lead_id,
    settled.counts_as              AS stage,
    settled.settled_before         AS previous_stage,
    settled.changed_at             AS occurred_at,
    lead.value                     AS event__value,
    lead.currency                  AS event__currency,
    lead.score                     AS event__properties__lead_score_after,
    CASE
        WHEN settled.stage <> '{{ disqualified }}' THEN NULL
        WHEN live_emails.email IS NOT NULL OR live_phones.phone IS NOT NULL
            THEN settled.lost_reason || ' (owner has a live lead)'
        ELSE settled.lost_reason
    END                            AS disqualification_reason,
    CASE WHEN settled.stage = '{{ disqualified }}' THEN settled.settled_before END AS disqualification_stage,
    lead.lead_id                   AS user__id,
    lead.email                     AS user__email,
    lead.phone                     AS user__phone,
    lead.first_name                AS user__first_name,
    lead.last_name                 AS user__last_name,
    lead.country                   AS user__country,
    lead.city                      AS user__city,
    lead.created_at                AS user__created_at,
    lead.consent_marketing         AS consent__marketing
FROM settled
JOIN leads AS lead ON lead.lead_id = settled.lead_id
LEFT JOIN live_emails ON live_emails.email = LOWER(TRIM(lead.email))
LEFT JOIN live_phones ON live_phones.phone = REPLACE(lead.phone, ' ', '')
WHERE settled.at_second >= {{ times.since }}
ORDER BY settled.at_second, settled.change_id
