-- For a CRM without a history: copies of all leads, each with the time of its load. A lead entered a stage with the
-- load that shows it there first, and stayed until the last load that shows it there. What was in the first load
-- of all is known already and not sent.
{%- import "sql/parts/times.sql" as times with context %}
{%- set disqualified = "Disqualified" %}
WITH snapshots AS (
    -- loaded_at in UTC, the same for all leads of a load.
    SELECT
        lead.*,
        {{ times.seconds("lead.loaded_at") }} AS at_second
    FROM lead_snapshots AS lead
    WHERE lead.stage IS NOT NULL
),
compared AS (
    SELECT
        snapshots.lead_id,
        snapshots.stage,
        snapshots.loaded_at,
        snapshots.at_second,
        snapshots.stage                                                             AS change_id,
        snapshots.lost_reason,
        LAG(snapshots.stage) OVER (
            PARTITION BY snapshots.lead_id ORDER BY snapshots.at_second, snapshots.stage
        )                                                                           AS stage_before,
        LAG(snapshots.at_second) OVER (
            PARTITION BY snapshots.lead_id ORDER BY snapshots.at_second, snapshots.stage
        )                                                                           AS second_before,
        MAX(snapshots.at_second) OVER (PARTITION BY snapshots.lead_id)              AS last_second
    FROM snapshots
    WHERE snapshots.at_second < {{ times.until }}
),
stays AS (
    SELECT
        compared.*,
        COALESCE(
            LEAD(compared.second_before) OVER (
                PARTITION BY compared.lead_id ORDER BY compared.at_second, compared.change_id
            ),
            compared.last_second
        ) - compared.at_second AS lasted
    FROM compared
    WHERE compared.stage_before IS NULL OR compared.stage_before <> compared.stage
),
{% include "sql/parts/settled.sql" %},
loads AS (
    SELECT MIN(snapshots.at_second) AS first_second, MAX(snapshots.at_second) AS last_second
    FROM snapshots
    WHERE snapshots.at_second < {{ times.until }}
),
-- Leads as the last load has them. Who is not in it is deleted or merged.
leads AS (
    SELECT snapshots.*
    FROM snapshots
    JOIN loads ON loads.last_second = snapshots.at_second
),
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
    settled.loaded_at              AS occurred_at,
    lead.value                     AS event__value,
    lead.currency                  AS event__currency,
    CASE
        WHEN settled.stage <> '{{ disqualified }}' THEN NULL
        WHEN live_emails.email IS NOT NULL OR live_phones.phone IS NOT NULL
            THEN COALESCE(settled.lost_reason, lead.lost_reason) || ' (owner has a live lead)'
        ELSE COALESCE(settled.lost_reason, lead.lost_reason)
    END                            AS disqualification_reason,
    CASE WHEN settled.stage = '{{ disqualified }}' THEN settled.settled_before END AS disqualification_stage,
    lead.lead_id                   AS user__id,
    lead.email                     AS user__email,
    lead.phone                     AS user__phone,
    lead.first_name                AS user__first_name,
    lead.last_name                 AS user__last_name,
    lead.country                   AS user__country,
    lead.consent_marketing         AS consent__marketing
FROM settled
JOIN leads AS lead ON lead.lead_id = settled.lead_id
LEFT JOIN live_emails ON live_emails.email = LOWER(TRIM(lead.email))
LEFT JOIN live_phones ON live_phones.phone = REPLACE(lead.phone, ' ', '')
JOIN loads ON settled.at_second > loads.first_second
WHERE settled.at_second >= {{ times.since }}
ORDER BY settled.at_second, settled.lead_id
